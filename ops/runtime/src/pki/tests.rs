//! Certificates and tokens, through real TLS handshakes in memory.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use fairground_types::command::JoinRole;
use fairground_types::text::Region;
use fairground_types::{ClusterId, Digest, EdgeId, JoinTokenId, MemberId, Timestamp};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use tempfile::TempDir;

use super::*;
use crate::clock::Clock;

fn now() -> Timestamp {
    Clock::system().now()
}

fn authority(number: u128) -> Ca {
    Ca::create(ClusterId::from_bits(number), now()).expect("authority")
}

fn identity_at(ca: &Ca, role: Role, at: Timestamp) -> Identity {
    let key = new_key_and_csr().expect("key");
    let holder = PeerIdentity { cluster: ca.cluster(), role };
    let leaf = ca.sign(&key.csr, &holder, at).expect("signed");
    Identity::new(leaf, key.key_pem, ca.certificate().clone()).expect("identity")
}

fn member(ca: &Ca) -> Identity {
    identity_at(ca, Role::Member(MemberId(1)), now())
}

fn edge(ca: &Ca) -> Identity {
    identity_at(ca, Role::Edge(EdgeId::new("eu-north", 3).expect("name")), now())
}

/// A handshake and one message each way; who the server saw, and the protocol.
fn shake(
    client: ClientConfig,
    server: ServerConfig,
) -> Result<(Option<PeerIdentity>, Vec<u8>), rustls::Error> {
    let name = ServerName::try_from(MEMBER_SERVER_NAME).expect("name");
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    client.writer().write_all(b"ping").expect("buffered");
    for _ in 0..16 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut left = wire.as_slice();
        while !left.is_empty() {
            server.read_tls(&mut left).expect("memory");
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut left = wire.as_slice();
        while !left.is_empty() {
            client.read_tls(&mut left).expect("memory");
            client.process_new_packets()?;
        }
        let mut heard = [0_u8; 4];
        if !server.is_handshaking() && server.reader().read_exact(&mut heard).is_ok() {
            let peer = server.peer_certificates().and_then(|chain| chain.first());
            let peer = peer.map(|leaf| PeerIdentity::from_cert(leaf).expect("named"));
            return Ok((peer, server.alpn_protocol().unwrap_or_default().to_vec()));
        }
    }
    Err(rustls::Error::HandshakeNotComplete)
}

#[test]
fn both_sides_of_one_cluster_know_each_other() {
    let ca = authority(1);
    let edge = edge(&ca);
    let (peer, protocol) =
        shake(client_config(&edge).expect("client"), server_config(&member(&ca)).expect("server"))
            .expect("accepted");
    assert_eq!(peer.as_ref(), Some(edge.peer()));
    assert_eq!(edge.peer().role.to_string(), "edge/eu-north.3");
    assert_eq!(protocol, ALPN);
}

#[test]
fn a_certificate_of_another_cluster_is_refused_by_both_sides() {
    let (ours, theirs) = (authority(1), authority(2));
    // A client that trusts us but shows a certificate of another cluster.
    let stranger = edge(&theirs);
    let key = new_key_and_csr().expect("key");
    let leaf = theirs.sign(&key.csr, stranger.peer(), now()).expect("signed");
    let stranger = Identity::new(leaf, key.key_pem, ours.certificate().clone()).expect("identity");
    let server = server_config(&member(&ours)).expect("server");
    shake(client_config(&stranger).expect("client"), server).expect_err("client refused");
    // A server of another cluster, met by our client.
    let server = server_config(&member(&theirs)).expect("server");
    shake(client_config(&edge(&ours)).expect("client"), server).expect_err("server refused");
    // The same cluster id claimed by another authority.
    let impostor = authority(1);
    let server = server_config(&member(&impostor)).expect("server");
    shake(client_config(&edge(&ours)).expect("client"), server).expect_err("impostor refused");
}

#[test]
fn an_expired_leaf_is_refused_by_both_sides() {
    let ca = authority(1);
    let old = now().minus(LEAF_LIFE).minus(Millis::from_mins(1));
    let expired = identity_at(&ca, Role::Edge(EdgeId::new("eu", 1).expect("name")), old);
    let server = server_config(&member(&ca)).expect("server");
    shake(client_config(&expired).expect("client"), server).expect_err("client refused");
    let expired = identity_at(&ca, Role::Member(MemberId(1)), old);
    let server = server_config(&expired).expect("server");
    shake(client_config(&edge(&ca)).expect("client"), server).expect_err("server refused");
}

#[test]
fn an_edge_cannot_pose_as_a_member() {
    let ca = authority(1);
    let server = server_config(&edge(&ca)).expect("server");
    shake(client_config(&edge(&ca)).expect("client"), server).expect_err("refused");
    let server = server_config(&edge(&ca)).expect("server");
    shake(join_client_config(ca.hash()).expect("client"), server).expect_err("refused");
}

#[test]
fn a_joiner_accepts_only_the_authority_of_its_token() {
    let ca = authority(1);
    let server = || server_config(&member(&ca)).expect("server");
    let (peer, protocol) =
        shake(join_client_config(ca.hash()).expect("client"), server()).expect("accepted");
    assert_eq!((peer, protocol.as_slice()), (None, ALPN_JOIN));
    let other = join_client_config(authority(1).hash()).expect("client");
    shake(other, server()).expect_err("another authority");
    // The right authority shown beside a leaf that it did not sign.
    let forged_by = authority(1);
    let key = new_key_and_csr().expect("key");
    let holder = PeerIdentity { cluster: ca.cluster(), role: Role::Member(MemberId(1)) };
    let leaf = forged_by.sign(&key.csr, &holder, now()).expect("signed");
    let forged = Identity::new(leaf, key.key_pem, ca.certificate().clone()).expect("identity");
    let client = join_client_config(ca.hash()).expect("client");
    shake(client, server_config(&forged).expect("server")).expect_err("forged leaf");
}

#[test]
fn a_request_cannot_choose_its_names() {
    let ca = authority(1);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("key");
    let mut params =
        rcgen::CertificateParams::new(vec![MEMBER_SERVER_NAME.to_owned()]).expect("names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).expect("request");
    let holder = PeerIdentity {
        cluster: ca.cluster(),
        role: Role::Edge(EdgeId::new("eu", 1).expect("name")),
    };
    let leaf = ca.sign(csr.der(), &holder, now()).expect("signed");
    assert_eq!(PeerIdentity::from_cert(&leaf).expect("named"), holder);
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).expect("certificate");
    assert!(!parsed.is_ca());
    let posing = Identity::new(leaf, key.serialize_pem(), ca.certificate().clone()).expect("whole");
    let server = server_config(&posing).expect("server");
    shake(client_config(&edge(&ca)).expect("client"), server).expect_err("not a member");

    let mut altered = csr.der().to_vec();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    assert!(ca.sign(&altered, &holder, now()).is_err(), "proof of possession");
    let foreign = PeerIdentity { cluster: ClusterId::from_bits(9), ..holder };
    assert!(matches!(ca.sign(csr.der(), &foreign, now()), Err(PkiError::Name)));
}

#[test]
fn a_stored_authority_signs_as_before_and_needs_its_own_key() {
    let ca = authority(7);
    let again = Ca::from_pem(&ca.certificate_pem(), &ca.expose_key_pem()).expect("stored");
    assert_eq!((again.cluster(), again.hash()), (ca.cluster(), ca.hash()));
    let server = server_config(&member(&again)).expect("server");
    shake(client_config(&edge(&ca)).expect("client"), server).expect("accepted");
    let other = authority(7);
    assert!(Ca::from_pem(&ca.certificate_pem(), &other.expose_key_pem()).is_err());
    assert!(Ca::from_pem("nonsense", &ca.expose_key_pem()).is_err());
}

#[test]
fn an_identity_survives_its_files_and_keeps_them_private() {
    let dir = TempDir::new().expect("folder");
    let ca = authority(1);
    let identity = edge(&ca);
    identity.save(dir.path(), "edge").expect("saved");
    let loaded = Identity::load(dir.path(), "edge").expect("loaded");
    assert_eq!(loaded.peer(), identity.peer());
    assert_eq!(loaded.ca_hash(), ca.hash());
    client_config(&loaded).expect("key fits");
    edge(&ca).save(dir.path(), "edge").expect("renewed in place");
    let mut names: Vec<_> =
        std::fs::read_dir(dir.path()).expect("folder").map(|f| f.expect("f").file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca.pem", "edge.pem"]);
    let path = dir.path().join("edge.pem");
    let mode = |path: &Path| std::fs::metadata(path).expect("file").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert!(matches!(Identity::load(dir.path(), "edge"), Err(PkiError::FileReadable { .. })));
}

#[test]
fn a_leaf_is_renewed_at_two_thirds_of_its_life() {
    let ca = authority(1);
    let start = Timestamp::from_unix_millis(now().as_unix_seconds() * 1_000);
    let identity = identity_at(&ca, Role::Member(MemberId(4)), start);
    assert_eq!(identity.expires_at().expect("certificate"), start.plus(LEAF_LIFE));
    assert!(!identity.needs_renewal(start));
    assert!(!identity.needs_renewal(start.plus(Millis::from_hours(15))));
    assert!(identity.needs_renewal(start.plus(Millis::from_hours(16))));
}

#[test]
fn names_of_another_form_are_refused() {
    let cluster = ClusterId::from_bits(1);
    for role in ["edge/eu.1", "member/m12"] {
        let text = format!("fairground://{cluster}/{role}");
        assert_eq!(text.parse::<PeerIdentity>().expect(role).to_string(), text);
    }
    for role in ["edge/eu", "member/12", "member/m-1", "admin/x", "edge/eu.1/x", "", "edge"] {
        assert!(
            format!("fairground://{cluster}/{role}").parse::<PeerIdentity>().is_err(),
            "{role}"
        );
    }
    assert!("https://clu_x/edge/eu.1".parse::<PeerIdentity>().is_err());
    assert!(PeerIdentity::from_cert(authority(1).certificate()).is_err());
}

fn token() -> JoinToken {
    JoinToken {
        cluster: ClusterId::from_bits(11),
        ca_hash: Digest::of(b"authority"),
        id: JoinTokenId::from_bits(12),
        secret: JoinToken::new_secret(),
        role: JoinRole::Edge,
        region: Region::parse("eu-north").expect("name"),
        addresses: vec!["127.0.0.1:7001".into(), "m2.fair.example:7001".into()],
    }
}

#[test]
fn a_join_token_round_trips() {
    let token = token();
    let text = token.expose_text().expect("text");
    assert!(text.starts_with("fgj1."));
    let parsed: JoinToken = format!("  {text}\n").parse().expect("token");
    assert_eq!(parsed, token);
    assert_eq!(parsed.secret_digest(), Digest::of(&token.secret));
    assert!(!format!("{token:?}").contains("secret"));
}

#[test]
fn an_altered_join_token_is_refused() {
    let text = token().expose_text().expect("text");
    for at in 0..text.len() {
        let mut altered = text.clone().into_bytes();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).expect("ascii");
        // The unused bits of the last character carry nothing, and are refused when set.
        assert!(altered.parse::<JoinToken>().is_err(), "character {at}");
        assert!(text[..at].parse::<JoinToken>().is_err(), "cut at {at}");
    }
    assert!(format!("{text}A").parse::<JoinToken>().is_err());
    let none = JoinToken { addresses: Vec::new(), ..token() };
    assert!(none.expose_text().is_err());
}
