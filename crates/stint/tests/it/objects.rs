//! Another client of S3 than the official ones: the `object_store` crate.

use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    UpdateVersion, WriteMultipart,
};
use serde_json::Value;

use crate::house::House;

fn store(house: &House, bucket: &str) -> AmazonS3 {
    let address = std::fs::read_to_string(house.file("s3-address")).unwrap();
    let key = std::fs::read_to_string(house.file("credentials.json")).unwrap();
    let key: Value = serde_json::from_str(&key).unwrap();
    AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", address.trim()))
        .with_allow_http(true)
        .with_region("local")
        .with_bucket_name(bucket)
        .with_access_key_id(key["accessKeyId"].as_str().unwrap())
        .with_secret_access_key(key["accessKeySecret"].as_str().unwrap())
        .build()
        .unwrap()
}

#[test]
fn object_store_works_against_it() {
    let house = House::start();
    house.ok(&["bucket", "create", "one"]);
    let store = store(&house, "one");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let key = Path::from("a/b.txt");
        store.put(&key, "hello".into()).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "hello");
        assert_eq!(store.get_range(&key, 1..3).await.unwrap(), "el");
        let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let exists = store.put_opts(&key, "x".into(), create.clone()).await.unwrap_err();
        assert!(matches!(exists, Error::AlreadyExists { .. }), "{exists}");
        store.put_opts(&Path::from("new"), "x".into(), create).await.unwrap();
        let e_tag = store.head(&key).await.unwrap().e_tag;
        let update = |e_tag| PutOptions {
            mode: PutMode::Update(UpdateVersion { e_tag, version: None }),
            ..PutOptions::default()
        };
        store.put_opts(&key, "second".into(), update(e_tag.clone())).await.unwrap();
        let stale = store.put_opts(&key, "third".into(), update(e_tag)).await.unwrap_err();
        assert!(matches!(stale, Error::Precondition { .. }), "{stale}");
        let suffix = GetOptions { range: Some(GetRange::Suffix(3)), ..GetOptions::default() };
        let last = store.get_opts(&key, suffix).await.unwrap().bytes().await.unwrap();
        assert_eq!(last, "ond");

        let big = Path::from("big");
        let mut upload = WriteMultipart::new(store.put_multipart(&big).await.unwrap());
        let piece = vec![7_u8; 3 << 20];
        (0..5).for_each(|_| upload.write(&piece));
        upload.finish().await.unwrap();
        assert_eq!(store.head(&big).await.unwrap().size, 15 << 20);
        let whole = store.get(&big).await.unwrap().bytes().await.unwrap();
        assert!(whole.iter().all(|byte| *byte == 7));

        store.copy(&key, &Path::from("copy")).await.unwrap();
        let listed = store.list_with_delimiter(None).await.unwrap();
        assert_eq!(listed.common_prefixes, [Path::from("a")]);
        assert_eq!(listed.objects.len(), 3);
        let all = store.list(None).map_ok(|meta| meta.location);
        let gone: Vec<_> = store.delete_stream(Box::pin(all)).try_collect().await.unwrap();
        assert_eq!(gone.len(), 4);
        let missing = store.get(&key).await.unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    });
    house.ok(&["bucket", "delete", "one"]);
}
