use std::io::{Read, Write};
use std::time::Duration;

use axum::body::Body;
use axum::routing::post;
use http_body_util::BodyExt;
use prometheus::IntCounter;
use tokio::sync::oneshot;
use tower::ServiceExt;

use super::*;

async fn get_text(app: Router, path: &str) -> (StatusCode, String) {
    let reply = app
        .oneshot(Request::builder().uri(path).body(Body::empty()).unwrap())
        .await
        .unwrap();
    let status = reply.status();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn readiness_gives_its_reason_and_health_does_not_depend_on_it() {
    let app = router(Registry::new(), || Err("the caches are empty".to_owned()));
    assert_eq!(get_text(app.clone(), "/healthz").await, (StatusCode::OK, "ok\n".into()));
    let expected = (StatusCode::SERVICE_UNAVAILABLE, "the caches are empty\n".into());
    assert_eq!(get_text(app, "/readyz").await, expected);
}

#[tokio::test]
async fn metrics_are_those_of_the_registry() {
    let registry = Registry::new();
    let counter = IntCounter::new("curriculum_test_total", "A test.").unwrap();
    registry.register(Box::new(counter.clone())).unwrap();
    counter.inc_by(3);
    let (status, text) = get_text(router(registry, || Ok(())), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains("# TYPE curriculum_test_total counter\ncurriculum_test_total 3\n"),
        "{text}"
    );
}

/// Bytes of a reply that no socket's buffers hold.
const LARGE: usize = 64 << 20;

struct Running {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    let app = router(Registry::new(), || Ok(()))
        .route("/echo", post(|body: String| async { body }))
        .route("/large", get(|| async { vec![0_u8; LARGE] }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, app, limits, async {
        let _ = stopped.await;
    }));
    Running { address, stop, task }
}

/// Sends bytes and reads until the server closes the connection.
async fn exchange(address: std::net::SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref().to_vec();
    tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        // A server that closes while input is unread resets the connection: what arrived before counts.
        let _ = stream.write_all(&bytes);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        String::from_utf8_lossy(&reply).into_owned()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn garbage_slow_heads_slow_and_big_bodies_end_the_request_not_the_server() {
    let limits = Limits {
        header_time: Duration::from_millis(50),
        request_time: Duration::from_millis(50),
        body_bytes: 1000,
        ..Limits::default()
    };
    let server = start(limits).await;
    let garbage = exchange(server.address, b"\x16\x03\x01\x02\x00 not http\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    let slow_head = exchange(server.address, b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await;
    assert!(
        slow_head.is_empty() || slow_head.starts_with("HTTP/1.1 408"),
        "{slow_head}"
    );
    let slow_body = exchange(
        server.address,
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc",
    )
    .await;
    assert!(slow_body.starts_with("HTTP/1.1 408"), "{slow_body}");
    let big_head = [b"GET /".as_slice(), &vec![b'a'; 100_000], b" HTTP/1.1\r\n\r\n"].concat();
    let big_head = exchange(server.address, &big_head).await;
    assert!(big_head.is_empty() || big_head.starts_with("HTTP/1.1 4"), "{big_head}");
    let head = b"POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2000\r\n\r\n";
    let big_body = exchange(server.address, &[head.as_slice(), &[b'a'; 2000]].concat()).await;
    assert!(big_body.starts_with("HTTP/1.1 413"), "{big_body}");
    let fine = exchange(
        server.address,
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(fine.starts_with("HTTP/1.1 200") && fine.ends_with("ok\n"), "{fine}");
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_slot() {
    let server = start(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let second = exchange(
        server.address,
        "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    tokio::pin!(second);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), &mut second)
            .await
            .is_err(),
        "served beyond the limit"
    );
    drop(idle);
    let served = second.await;
    assert!(served.starts_with("HTTP/1.1 200"), "{served}");
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
}

#[tokio::test]
async fn one_address_does_not_take_the_places_of_others() {
    let server = start(Limits {
        connections: 3,
        per_peer: 1,
        ..Limits::default()
    })
    .await;
    let greedy = TcpStream::connect(server.address).await.unwrap();
    let request = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for _ in 0..5 {
        assert_eq!(
            exchange(server.address, request).await,
            "",
            "closed at once, not left to wait"
        );
    }
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let other = other.connect(server.address).await.unwrap();
    other.writable().await.unwrap();
    other.try_write(request.as_bytes()).unwrap();
    other.readable().await.unwrap();
    let mut reply = [0; 12];
    other.try_read(&mut reply).unwrap();
    assert_eq!(&reply, b"HTTP/1.1 200");
    drop(greedy);
    // The place is free once the server has seen the end of the connection.
    while exchange(server.address, request).await.is_empty() {}
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_client_that_stops_reading_loses_its_slot() {
    let server = start(Limits {
        connections: 1,
        write_time: Duration::from_secs(1),
        ..Limits::default()
    })
    .await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let mut deaf = std::net::TcpStream::connect(server.address).unwrap();
    deaf.write_all(request("/large").as_bytes()).unwrap();
    let next = tokio::time::timeout(Duration::from_secs(60), exchange(server.address, request("/healthz"))).await;
    assert!(
        next.is_ok_and(|reply| reply.starts_with("HTTP/1.1 200")),
        "the slot is still taken"
    );
    let mut rest = Vec::new();
    let _ = deaf.read_to_end(&mut rest);
    assert!(rest.len() < LARGE, "the reply came whole");
    let read = exchange(server.address, request("/large")).await;
    assert!(read.len() > LARGE, "who reads gets it all");
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let server = start(Limits {
        drain_time: Duration::from_millis(20),
        ..Limits::default()
    })
    .await;
    let mut open = std::net::TcpStream::connect(server.address).unwrap();
    open.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n")
        .unwrap();
    server.stop.send(()).unwrap();
    server.task.await.unwrap();
}
