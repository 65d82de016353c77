//! The name server over real sockets, with scripted servers behind it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use lattice_daemon::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::relay::Relay;
use super::zone::Zone;
use super::{name_servers, read_message, serve, take, write_message};

const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// A name server that runs, and its address.
async fn started(servers: Vec<SocketAddr>) -> (SocketAddr, Tasks) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let tasks = Tasks::default();
    // UDP and TCP choose their ports apart; TCP's may be taken for UDP by another test.
    let (address, sockets) = loop {
        let address = std::net::UdpSocket::bind(any).unwrap().local_addr().unwrap();
        if let Ok(sockets) = take(address) {
            break (address, sockets);
        }
    };
    let zone = Zone::new(ROUTER, "apps.example.com");
    serve(sockets, zone, Relay::Servers(servers), &tasks).unwrap();
    (address, tasks)
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

async fn by_udp(server: SocketAddr, query: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(query).await.unwrap();
    let mut buffer = vec![0; 4096];
    let length = socket.recv(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

fn addresses(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

/// Answers whatever is asked, by both carriers.
fn answered(query: &[u8]) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    let name = query.queries[0].name().clone();
    answer.add_query(query.queries[0].clone());
    answer.add_answer(Record::from_rdata(name, 60, RData::A(A(ELSEWHERE))));
    answer.to_vec().unwrap()
}

/// A name server of the host: one question by UDP, of which it tells the number, and one by TCP.
async fn upstream() -> (SocketAddr, tokio::task::JoinHandle<u16>) {
    let (address, udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        // What is free for one carrier may be taken for the other.
        match TcpListener::bind(address).await {
            Ok(tcp) => break (address, udp, tcp),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        }
    };
    tokio::spawn(async move {
        let (mut connection, _) = tcp.accept().await.unwrap();
        let query = read_message(&mut connection).await.unwrap();
        write_message(&mut connection, &answered(&query)).await.unwrap();
    });
    let number = tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
        // What somebody else sends is no answer.
        udp.send_to(b"\0\0 not an answer to this", from).await.unwrap();
        udp.send_to(&answered(&buffer[..length]), from).await.unwrap();
        u16::from_be_bytes([buffer[0], buffer[1]])
    });
    (address, number)
}

#[tokio::test]
async fn names_of_apps_are_answered_here_by_both_carriers() {
    let (server, _tasks) = started(Vec::new()).await;
    let query = question("web.apps.internal.", RecordType::A).to_vec().unwrap();
    assert_eq!(addresses(&by_udp(server, &query).await), ["10.255.0.1"]);

    let mut connection = TcpStream::connect(server).await.unwrap();
    for name in ["web.apps.internal.", "web.apps.example.com."] {
        let query = question(name, RecordType::A).to_vec().unwrap();
        write_message(&mut connection, &query).await.unwrap();
        let answer = Message::from_vec(&read_message(&mut connection).await.unwrap()).unwrap();
        assert_eq!(addresses(&answer), ["10.255.0.1"], "{name}");
    }
}

#[tokio::test]
async fn other_names_are_asked_of_the_hosts_servers_under_another_number() {
    let (upstream, number) = upstream().await;
    // The first is nobody, so the second is asked.
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (server, _tasks) = started(vec![nobody, upstream]).await;
    let query = question("db.example.net.", RecordType::A);
    let answer = by_udp(server, &query.to_vec().unwrap()).await;
    assert_eq!(addresses(&answer), ["192.0.2.7"]);
    assert_eq!(answer.metadata.id, query.metadata.id);
    // They are equal once in 65,536 times, which would say nothing.
    let asked = number.await.unwrap();
    assert!(asked != query.metadata.id || asked == 0, "the number was passed on");

    let mut connection = TcpStream::connect(server).await.unwrap();
    write_message(&mut connection, &query.to_vec().unwrap()).await.unwrap();
    let answer = Message::from_vec(&read_message(&mut connection).await.unwrap()).unwrap();
    assert_eq!(addresses(&answer), ["192.0.2.7"]);
}

#[tokio::test]
async fn where_no_server_answers_the_app_is_told() {
    let (server, _tasks) = started(Vec::new()).await;
    let query = question("db.example.net.", RecordType::A).to_vec().unwrap();
    let answer = by_udp(server, &query).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn nonsense_does_not_stop_it() {
    let (server, _tasks) = started(Vec::new()).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for bytes in [&b""[..], b"x", &[0xff; 512], &[0; 12]] {
        socket.send_to(bytes, server).await.unwrap();
    }
    drop(TcpStream::connect(server).await.unwrap());
    let query = question("web.apps.internal.", RecordType::A).to_vec().unwrap();
    assert_eq!(addresses(&by_udp(server, &query).await), ["10.255.0.1"]);
}

#[test]
fn a_port_that_is_taken_is_not_shared() {
    let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(take(other.local_addr().unwrap()).is_err());
}

#[test]
fn name_servers_are_read_in_their_order() {
    let text = "# x\nsearch a.test\nnameserver 127.0.0.53\nnameserver\n nameserver 2001:db8::1\n";
    let read: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
    assert_eq!(read, ["127.0.0.53", "2001:db8::1"]);
}
