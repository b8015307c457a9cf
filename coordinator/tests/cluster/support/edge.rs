//! The edge's end of the wire, as small as it can be.

use std::net::SocketAddr;
use std::time::Duration;

use fairground_runtime::pki::{
    self, Identity, JoinToken, MEMBER_SERVER_NAME, client_config, join_client_config,
    new_key_and_csr,
};
use fairground_types::command::{Actor, ClusterCommand, Command, Envelope};
use fairground_types::journal::{Batch, Intake, JournalEntry, Mark, PlaceBid, Stamp, Tail};
use fairground_types::{
    Accepted, AuctionId, BlobHash, CommandId, Currency, EdgeId, LogIndex, Millis, Money, Timestamp,
    UserId, Verdict,
};
use fairground_wire::codec::{Decode, Encode};
use fairground_wire::message::{
    BeatDown, BeatUp, BlobRequest, BlobResponse, EdgeStatus, FeedDown, FeedRequest, ForwardRequest,
    ForwardResponse, JoinKind, JoinRequest, JoinResponse, JoinSecret, ReadRequest, StreamKind,
    UplinkDown, UplinkUp,
};
use fairground_wire::{Versioned, from_bytes, to_frame};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

use super::PATIENCE;

/// A stream to a member.
pub(crate) struct Stream {
    send: SendStream,
    receive: RecvStream,
}

impl Stream {
    pub(crate) async fn open(connection: &Connection, kind: StreamKind) -> Self {
        let (mut send, receive) = connection.open_bi().await.expect("a stream");
        send.write_all(&[kind.to_byte()]).await.expect("written");
        Self { send, receive }
    }

    pub(crate) async fn send<T: Versioned + Encode>(&mut self, message: &T) {
        self.send.write_all(&to_frame(message).expect("encoded")).await.expect("written");
    }

    pub(crate) async fn receive<T: Versioned + Decode>(&mut self) -> Option<T> {
        let reading = async {
            let mut prefix = [0_u8; 4];
            self.receive.read_exact(&mut prefix).await.ok()?;
            let mut bytes = vec![0; usize::try_from(u32::from_le_bytes(prefix)).ok()?];
            self.receive.read_exact(&mut bytes).await.ok()?;
            from_bytes(&bytes).ok()
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time")
    }
}

fn quic(tls: rustls::ClientConfig) -> quinn::ClientConfig {
    let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3");
    quinn::ClientConfig::new(std::sync::Arc::new(crypto))
}

pub(crate) fn endpoint() -> Endpoint {
    Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket")
}

/// What came of asking to join.
pub(crate) enum Joined {
    Welcome(Box<TestEdge>),
    Refused(fairground_types::Code),
}

/// An edge with its certificate.
pub(crate) struct TestEdge {
    pub(crate) id: EdgeId,
    pub(crate) identity: Identity,
    pub(crate) endpoint: Endpoint,
}

/// Asks the first member of a token to let an edge in.
pub(crate) async fn join(token: &str, name: &str) -> Joined {
    pki::install_provider();
    let token: JoinToken = token.parse().expect("a token");
    let new = new_key_and_csr().expect("a key");
    let endpoint = endpoint();
    let client = quic(join_client_config(token.ca_hash).expect("TLS"));
    let address: SocketAddr =
        token.addresses.first().expect("an address").parse().expect("an address");
    let connection = endpoint
        .connect_with(client, address, MEMBER_SERVER_NAME)
        .expect("dialled")
        .await
        .expect("connected");
    let mut stream = Stream::open(&connection, StreamKind::Join).await;
    stream
        .send(&JoinRequest::Join {
            token: token.id,
            secret: JoinSecret(token.secret),
            csr_der: new.csr,
            kind: JoinKind::Edge {
                name: name.to_owned(),
                public_url: format!("http://{name}.example"),
                receipt_key: [7; 32],
                takes_bids: true,
            },
        })
        .await;
    let response: JoinResponse = stream.receive().await.expect("an answer");
    match response {
        JoinResponse::Welcome(welcome) => {
            let pem = |text: &str| {
                CertificateDer::from_pem_slice(text.as_bytes()).expect("a certificate")
            };
            assert!(welcome.secrets.is_none(), "an edge is given no secrets");
            let identity =
                Identity::new(pem(&welcome.certificate_pem), new.key_pem, pem(&welcome.ca_pem))
                    .expect("an identity");
            let id = welcome.identity.parse().expect("an edge id");
            Joined::Welcome(Box::new(TestEdge { id, identity, endpoint }))
        }
        JoinResponse::Refused(rejection) => Joined::Refused(rejection.code),
        JoinResponse::NotLeader { .. } => panic!("no leader"),
    }
}

impl TestEdge {
    /// Connects to a member, who may refuse.
    pub(crate) async fn connect(
        &self,
        address: &str,
    ) -> Result<Connection, quinn::ConnectionError> {
        let client = quic(client_config(&self.identity).expect("TLS"));
        let address: SocketAddr = address.parse().expect("an address");
        let connecting =
            self.endpoint.connect_with(client, address, MEMBER_SERVER_NAME).expect("dialled");
        tokio::time::timeout(PATIENCE, connecting).await.expect("connected in time")
    }

    pub(crate) async fn forward(
        &self,
        connection: &Connection,
        request: &ForwardRequest,
    ) -> ForwardResponse {
        let mut stream = Stream::open(connection, StreamKind::Forward).await;
        stream.send(request).await;
        stream.receive().await.expect("an answer")
    }

    /// Enters the intake.
    pub(crate) async fn admit(&self, connection: &Connection, tail: Tail) -> ForwardResponse {
        let envelope = Envelope {
            id: CommandId::derive_system("admit", &self.id.to_string(), &tail.seq.to_string()),
            actor: Actor::Edge(self.id.clone()),
            command: Command::Cluster(ClusterCommand::AdmitEdge { edge: self.id.clone(), tail }),
        };
        self.forward(connection, &ForwardRequest::Command(Box::new(envelope))).await
    }

    /// One beat; the answer, when there is a leader.
    pub(crate) async fn beat(
        &self,
        connection: &Connection,
        mark: Option<Mark>,
    ) -> Option<BeatDown> {
        let mut stream = Stream::open(connection, StreamKind::Beat).await;
        let status = EdgeStatus {
            edge: self.id.clone(),
            region: "eu".to_owned(),
            public_url: "http://eu-1.example".to_owned(),
            serves_video: true,
            takes_bids: true,
            load_permille: 5,
            feed_index: LogIndex(0),
        };
        stream.send(&BeatUp { t0: 1, edge: self.id.clone(), mark, status }).await;
        let answer = tokio::time::timeout(Duration::from_secs(2), stream.receive()).await;
        answer.ok().flatten()
    }

    /// The first message of a feed.
    pub(crate) async fn feed(&self, connection: &Connection, from: LogIndex) -> (Stream, FeedDown) {
        let mut stream = Stream::open(connection, StreamKind::Feed).await;
        stream.send(&FeedRequest { from }).await;
        let first = stream.receive().await.expect("a message");
        (stream, first)
    }

    /// Opens the uplink; the tail that the log knows.
    pub(crate) async fn uplink(&self, connection: &Connection, tail: Tail) -> (Stream, UplinkDown) {
        let mut stream = Stream::open(connection, StreamKind::Uplink).await;
        let hello =
            UplinkUp::Hello { edge: self.id.clone(), tail, journal_open_from: tail.seq + 1 };
        stream.send(&hello).await;
        let welcome = stream.receive().await.expect("a welcome");
        (stream, welcome)
    }

    /// Puts a blob; it is held by a majority when this returns.
    pub(crate) async fn put_blob(&self, connection: &Connection, bytes: &[u8]) -> BlobHash {
        let hash = BlobHash::of(bytes);
        let mut stream = Stream::open(connection, StreamKind::Blob).await;
        stream.send(&BlobRequest::Put { hash, bytes: bytes.len() as u64 }).await;
        let answer: BlobResponse = stream.receive().await.expect("an answer");
        if answer == BlobResponse::Send {
            stream.send.write_all(bytes).await.expect("written");
            let answer: BlobResponse = stream.receive().await.expect("an answer");
            assert_eq!(answer, BlobResponse::Stored);
        }
        hash
    }

    /// Gets a blob.
    pub(crate) async fn get_blob(&self, connection: &Connection, hash: BlobHash) -> Vec<u8> {
        let mut stream = Stream::open(connection, StreamKind::Blob).await;
        stream.send(&BlobRequest::Get { hash }).await;
        let answer: BlobResponse = stream.receive().await.expect("an answer");
        assert!(matches!(answer, BlobResponse::Found { .. }), "{answer:?}");
        stream.receive.read_to_end(1024 * 1024).await.expect("the bytes")
    }

    /// A command of an account; what it made.
    pub(crate) async fn act(
        &self,
        connection: &Connection,
        actor: Actor,
        command: Command,
    ) -> Accepted {
        let id = CommandId::derive_system("act", &format!("{actor:?}"), &format!("{command:?}"));
        let envelope = Envelope { id, actor, command };
        let response = self.forward(connection, &ForwardRequest::Command(Box::new(envelope))).await;
        let ForwardResponse::Judged(judged) = response else { panic!("no verdict: {response:?}") };
        match judged.verdict {
            Verdict::Accepted(accepted) => accepted,
            Verdict::Rejected(rejection) => panic!("rejected: {rejection:?}"),
        }
    }

    /// A read, as JSON.
    pub(crate) async fn read(&self, connection: &Connection, read: ReadRequest) -> Value {
        let response = self.forward(connection, &ForwardRequest::Read(read)).await;
        let ForwardResponse::Json(bytes) = response else { panic!("no document: {response:?}") };
        serde_json::from_slice(&bytes).expect("JSON")
    }

    pub(crate) fn batch(&self, entries: Vec<JournalEntry>) -> UplinkUp {
        UplinkUp::Batch(Batch { edge: self.id.clone(), mark: None, entries })
    }
}

/// A journal entry with a bid on an auction that there is not.
pub(crate) fn entry_after(tail: Tail, at: Timestamp) -> JournalEntry {
    let stamp = Stamp { earliest: at, latest: at.plus(Millis::new(10)) };
    let command = CommandId::derive_system("bid", "test", &tail.seq.to_string());
    let bid = PlaceBid {
        command,
        auction: AuctionId::from_bits(1),
        bidder: UserId::from_bits(2),
        amount: Money::new(10_000, Currency::Eur),
        maximum: None,
        valid_until: at.plus(Millis::from_secs(60)),
    };
    JournalEntry::after(tail, stamp, Intake::Bid(bid))
}
