"""A client of HTTP/2 by others: httpx over h2, which objects to what breaks the protocol."""

import asyncio
import ssl
import sys

import httpx


async def play(url, name, certificate):
    trusted = ssl.create_default_context(cafile=certificate)
    headers = {"Host": name}
    async with httpx.AsyncClient(http2=True, verify=trusted, headers=headers, timeout=20) as client:
        one = await client.get(f"{url}/1k")
        assert (one.http_version, one.status_code, len(one.content)) == ("HTTP/2", 200, 1024), one
        posted = await client.post(f"{url}/post", content=b"b" * 300_000)
        assert (posted.status_code, posted.text.split()[:2]) == (200, ["POST", "300000"]), posted.text
        many = await asyncio.gather(*(client.get(f"{url}/1k") for _ in range(100)))
        assert all(len(answer.content) == 1024 for answer in many)
        async with client.stream("GET", f"{url}/1m") as answer:
            total = 0
            async for piece in answer.aiter_raw(1000):
                total += len(piece)
        assert answer.status_code == 200 and total > 1000, total
        nobody = await client.get(f"{url}/1k", headers={"Host": "nobody.test"})
        assert nobody.status_code == 404, nobody


asyncio.run(play(*sys.argv[1:]))
print("as it should")
