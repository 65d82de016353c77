"""Websockets by others, at both ends: `serve PORT` says again what it hears, `ask URL CERT` listens."""

import asyncio
import ssl
import sys

import websockets

LARGEST = 4 * 1024 * 1024


async def serve(port):
    async def again(socket, _path):
        async for message in socket:
            if message == "leave":
                await socket.close(4001, "as you wish")
                return
            await socket.send(message)

    async with websockets.serve(
        again, "127.0.0.1", int(port), max_size=LARGEST, subprotocols=["echo.test"]
    ):
        await asyncio.Future()


def connect(url, certificate):
    trusted = ssl.create_default_context(cafile=certificate) if url.startswith("wss") else None
    return websockets.connect(
        url,
        host="127.0.0.1",
        ssl=trusted,
        subprotocols=["echo.test"],
        max_size=LARGEST,
        close_timeout=5,
    )


async def ask(url, certificate):
    async with connect(url, certificate) as socket:
        assert socket.subprotocol == "echo.test"
        for length in [0, 1, 125, 126, 65_535, 65_536, 1_048_576]:
            for message in ["t" * length, b"\x00\xff" * (length // 2)]:
                await socket.send(message)
                assert await socket.recv() == message, length
        await socket.send(iter(["in ", "three ", "pieces"]))
        assert await socket.recv() == "in three pieces"
        await asyncio.wait_for(await socket.ping(b"there?"), 5)
        await socket.send("leave")
        try:
            await socket.recv()
            raise AssertionError("it stayed")
        except websockets.ConnectionClosed:
            assert (socket.close_code, socket.close_reason) == (4001, "as you wish")
    many = [connect(url, certificate) for _ in range(50)]
    sockets = await asyncio.gather(*many)
    for n, socket in enumerate(sockets):
        await socket.send(str(n))
    for n, socket in enumerate(sockets):
        assert await socket.recv() == str(n)
        await socket.close()
        assert socket.close_code == 1000
    print("as it should")


asyncio.run({"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:]))
