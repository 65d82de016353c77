//! Manifests, lists, parts of blobs, and what is kept and not.

use std::time::{Duration, SystemTime};

use lattice_brain::blobs::collect_garbage;
use serde_json::{Value, json};

use super::{IMAGE, INDEX, Served, code, digest, header, image};

#[tokio::test]
async fn a_manifest_is_found_by_tag_and_by_digest_until_it_is_deleted() {
    let served = Served::start().await;
    let digest = served.push_image("a/web", "v1", b"layer").await;
    for reference in ["v1", digest.as_str()] {
        let path = format!("/v2/a/web/manifests/{reference}");
        let get = served.request("GET", &path).send().await.unwrap();
        assert_eq!(get.status(), 200);
        assert_eq!(header(&get, "content-type"), IMAGE);
        assert_eq!(header(&get, "docker-content-digest"), digest);
        let bytes = get.bytes().await.unwrap();
        assert_eq!(super::digest(&bytes), digest);
        let head = served.request("HEAD", &path).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), bytes.len().to_string());
    }
    let elsewhere = format!("/v2/other/manifests/{digest}");
    assert_eq!(served.status("GET", &elsewhere).await, 404, "not of that repository");

    served.push_image("a/web", "v2", b"newer layer").await;
    served.push_image("a/web", "also-v1", b"layer").await;
    assert_eq!(served.status("DELETE", "/v2/a/web/manifests/also-v1").await, 202);
    assert_eq!(served.status("GET", "/v2/a/web/manifests/v1").await, 200, "only the tag went");
    let path = format!("/v2/a/web/manifests/{digest}");
    assert_eq!(served.status("DELETE", &path).await, 202);
    for gone in [path.as_str(), "/v2/a/web/manifests/v1", "/v2/a/web/manifests/also-v1"] {
        let get = served.request("GET", gone).send().await.unwrap();
        assert_eq!((get.status().as_u16(), code(get).await.as_str()), (404, "MANIFEST_UNKNOWN"));
        assert_eq!(served.status("DELETE", gone).await, 404, "{gone}");
    }
    let tags: Value =
        served.request("GET", "/v2/a/web/tags/list").send().await.unwrap().json().await.unwrap();
    assert_eq!(tags, json!({"name": "a/web", "tags": ["v2"]}));
}

#[tokio::test]
async fn a_manifest_must_refer_to_what_is_here() {
    let served = Served::start().await;
    let config = served.push("web", b"{}").await;
    let missing = image(&config, &digest(b"never pushed"));
    let put = served.put_manifest("/v2/web/manifests/v1", IMAGE, &missing).await;
    assert_eq!((put.status().as_u16(), code(put).await.as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
    let child = json!({"schemaVersion": 2, "manifests": [{"digest": digest(b"no manifest")}]});
    let put = served.put_manifest("/v2/web/manifests/v1", INDEX, &child).await;
    assert_eq!((put.status().as_u16(), code(put).await.as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));

    let digest = served.push_image("web", "v1", b"layer").await;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": digest}]});
    let put = served.put_manifest("/v2/web/manifests/all", INDEX, &index).await;
    assert_eq!(put.status(), 201);
    let other = format!("/v2/web/manifests/{}", super::digest(b"other"));
    let put = served.put_manifest(&other, INDEX, &index).await;
    assert_eq!((put.status().as_u16(), code(put).await.as_str()), (400, "DIGEST_INVALID"));
    for nonsense in [json!(7), json!({}), json!({"schemaVersion": 1})] {
        let put = served.put_manifest("/v2/web/manifests/x", IMAGE, &nonsense).await;
        assert_eq!((put.status().as_u16(), code(put).await.as_str()), (400, "MANIFEST_INVALID"));
    }
    let huge = json!({"schemaVersion": 2, "x": "y".repeat(5 * 1024 * 1024)});
    let put = served.put_manifest("/v2/web/manifests/x", IMAGE, &huge).await;
    assert_eq!((put.status().as_u16(), code(put).await.as_str()), (413, "SIZE_INVALID"));
}

#[tokio::test]
async fn repositories_and_tags_are_listed_in_pages() {
    let served = Served::start().await;
    for (name, tag) in [("b", "v1"), ("a/x", "v1"), ("a", "v2"), ("a", "v1"), ("a", "v3")] {
        served.push_image(name, tag, b"layer").await;
    }
    for (path, expected, link) in [
        ("/v2/_catalog", json!({"repositories": ["a", "a/x", "b"]}), None),
        (
            "/v2/_catalog?n=2",
            json!({"repositories": ["a", "a/x"]}),
            Some("</v2/_catalog?n=2&last=a/x>; rel=\"next\""),
        ),
        ("/v2/_catalog?n=2&last=a/x", json!({"repositories": ["b"]}), None),
        ("/v2/a/tags/list", json!({"name": "a", "tags": ["v1", "v2", "v3"]}), None),
        (
            "/v2/a/tags/list?n=1&last=v1",
            json!({"name": "a", "tags": ["v2"]}),
            Some("</v2/a/tags/list?n=1&last=v2>; rel=\"next\""),
        ),
    ] {
        let response = served.request("GET", path).send().await.unwrap();
        let found = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        assert_eq!(found.as_deref(), link, "{path}");
        assert_eq!(response.json::<Value>().await.unwrap(), expected, "{path}");
    }
    let unknown = served.request("GET", "/v2/nobody/tags/list").send().await.unwrap();
    assert_eq!((unknown.status().as_u16(), code(unknown).await.as_str()), (404, "NAME_UNKNOWN"));
}

#[tokio::test]
async fn who_refers_to_a_manifest_is_listed() {
    let served = Served::start().await;
    let subject = served.push_image("web", "v1", b"layer").await;
    let mut signature = image(&digest(b"{}"), &digest(b"layer"));
    signature["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 1});
    signature["artifactType"] = json!("application/x-signature");
    let put = served.put_manifest("/v2/web/manifests/sig", IMAGE, &signature).await;
    assert_eq!(header(&put, "oci-subject"), subject);
    let path = format!("/v2/web/referrers/{subject}");
    let found: Value = served.request("GET", &path).send().await.unwrap().json().await.unwrap();
    assert_eq!(found["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(found["manifests"][0]["artifactType"], "application/x-signature");
}

#[tokio::test]
async fn a_part_of_a_blob_is_served() {
    let served = Served::start().await;
    let path = format!("/v2/web/blobs/{}", served.push("web", b"0123456789").await);
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-1", 206, "9", Some("bytes 9-9/10")),
        ("bytes=4-2", 200, "0123456789", None),
    ] {
        let get = served.request("GET", &path).header("range", range).send().await.unwrap();
        assert_eq!(get.status(), status, "{range}");
        let found = get.headers().get("content-range").map(|value| value.to_str().unwrap());
        assert_eq!(found, content_range, "{range}");
        assert_eq!(get.text().await.unwrap(), body, "{range}");
    }
    let outside = served.request("GET", &path).header("range", "bytes=10-").send().await.unwrap();
    assert_eq!(
        (outside.status().as_u16(), header(&outside, "content-range").as_str()),
        (416, "bytes */10")
    );
}

#[tokio::test]
async fn only_old_blobs_that_no_manifest_refers_to_are_collected() {
    let served = Served::start().await;
    let manifest = served.push_image("web", "v1", b"layer").await;
    let unused = served.push("web", b"unused").await;
    let young = served.push("web", b"young").await;
    let (config, layer) = (digest(b"{}"), digest(b"layer"));
    let make_old = |digest: &str| {
        let file = std::fs::File::options().write(true).open(served.blob_path(digest)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3601)).unwrap();
    };
    [&manifest, &unused, &config, &layer].into_iter().for_each(|digest| make_old(digest));
    let collected = collect_garbage(served.data_dir.path()).await.unwrap();
    assert_eq!((collected.blobs, collected.bytes), (1, 6));
    for (digest, is_here) in
        [(&manifest, true), (&config, true), (&layer, true), (&young, true), (&unused, false)]
    {
        assert_eq!(served.blob_path(digest).exists(), is_here, "{digest}");
    }

    // Who asks for a blob is about to rely on it.
    let asked_for = served.push("web", b"asked for").await;
    make_old(&asked_for);
    assert_eq!(served.status("HEAD", &format!("/v2/web/blobs/{asked_for}")).await, 200);
    assert_eq!(served.status("DELETE", &format!("/v2/web/manifests/{manifest}")).await, 202);
    let collected = collect_garbage(served.data_dir.path()).await.unwrap();
    assert_eq!(collected.blobs, 3, "the manifest and all that it alone needed");
    assert!(served.blob_path(&asked_for).exists());
}

#[tokio::test]
async fn stale_uploads_are_dropped_at_the_next_start() {
    let served = Served::start().await;
    let (stale, fresh) = (served.begin("web").await, served.begin("web").await);
    let id = stale.rsplit('/').next().unwrap();
    let path = served.data_dir.path().join("registry/uploads").join(id);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(25 * 3600)).unwrap();
    let config = lattice_brain::blobs::BlobsConfig::on_loopback(served.data_dir.path(), None);
    let tasks = lattice_daemon::tasks::Tasks::default();
    lattice_brain::blobs::serve(config, None, &tasks).await.unwrap();
    super::eventually(|| served.request("GET", &stale), |response| response.status() == 404).await;
    assert_eq!(served.status("GET", &fresh).await, 204);
    tasks.shutdown().cancel();
}
