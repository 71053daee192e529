//! What a real API server makes of our custom resources. No pod runs.
use e2e::api_server::ApiServer;

#[tokio::test]
async fn starts() {
    let server = ApiServer::shared().await.unwrap();
    let out = server.kubectl().args(["get", "crd"]).output().unwrap();
    println!("{}", String::from_utf8_lossy(&out.stdout));
}
