//! A transcode job of three members: how far it is shows at each, and an admin has it done again.

use fairground_types::command::{Actor, Command, FailedJob, JobFault, MediaCommand, RegisterAsset};
use fairground_types::{Accepted, AssetId, BlobHash, Code, EdgeId, Millis, UserId};
use fairground_wire::message::{
    ForwardRequest, ForwardResponse, JobProgress, JobStage, ReadRequest,
};
use serde_json::{Value, json};

use crate::support::{TestMember, eventually};
use crate::{joined, three_members};

async fn make_maker(member: &TestMember) -> UserId {
    let body = json!({ "identifier": "maker-1@fairground.example", "channel": "email",
        "handle": "maker-1", "roles": ["maker"] });
    let made = member.post("/v1/cluster/accounts", body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    made.body["userId"].as_str().expect("a user").parse().expect("an id")
}

fn clip(asset: AssetId) -> RegisterAsset {
    RegisterAsset {
        asset,
        source: BlobHash::of(b"the uploaded bytes"),
        source_bytes: 18,
        duration: Millis::from_secs(9),
        width: 640,
        height: 360,
    }
}

fn report(edge: &EdgeId, (asset, fence): (AssetId, u64), done_frames: u64) -> ForwardRequest {
    let elapsed = Millis::from_secs(10);
    let progress = JobProgress { stage: JobStage::Av1, done_frames, total_frames: 400, elapsed };
    ForwardRequest::ReportProgress { edge: edge.clone(), asset, fence, progress }
}

fn code(response: &ForwardResponse) -> Option<Code> {
    match response {
        ForwardResponse::Rejected(rejection) => Some(rejection.code),
        ForwardResponse::Judged(_)
        | ForwardResponse::Json(_)
        | ForwardResponse::Tokens(_)
        | ForwardResponse::Unavailable { .. } => None,
    }
}

async fn job(member: &TestMember) -> Value {
    let list = member.get("/v1/admin/jobs").await;
    list["jobs"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_told_through_any_member_shows_at_every_member() {
    let folder = tempfile::tempdir().expect("a folder");
    let members = three_members(folder.path()).await;
    let first = members.first().expect("a member");
    let edge = joined(first, "eu-1").await;
    let maker = make_maker(first).await;
    let mut connections = Vec::new();
    for member in &members {
        let address = &member.options.cluster_listen;
        connections.push(edge.connect(address).await.expect("connected"));
    }
    let connection = connections.first().expect("one");
    let asset = AssetId::from_bits(11);
    let register = Command::Media(MediaCommand::RegisterAsset(clip(asset)));
    edge.act(connection, Actor::User(maker), register).await;
    let worker = Actor::Edge(edge.id.clone());
    let lease = Command::Media(MediaCommand::LeaseJob);
    let Accepted::JobLeased { fence, .. } = edge.act(connection, worker.clone(), lease).await
    else {
        panic!("no lease")
    };

    for (through, done) in connections.iter().zip([40, 80, 100]) {
        let told = edge.forward(through, &report(&edge.id, (asset, fence), done)).await;
        assert!(matches!(told, ForwardResponse::Json(_)), "{told:?}");
        for at in &connections {
            let shown = edge.read(at, ReadRequest::Asset { user: maker, asset }).await;
            let progress = &shown["progress"];
            assert_eq!(
                (&progress["doneFrames"], &progress["stage"]),
                (&json!(done), &json!("av1"))
            );
            assert_eq!(progress["edge"], json!(edge.id));
        }
    }
    for member in &members {
        let progress = job(member).await["progress"].clone();
        assert_eq!((&progress["fpsMilli"], &progress["etaMs"]), (&json!(10_000), &json!(30_000)));
    }

    // Under another lease, of another edge, and what members alone ask.
    let stale = edge.forward(connection, &report(&edge.id, (asset, fence + 1), 1)).await;
    assert_eq!(code(&stale), Some(Code::InvalidState));
    let other = EdgeId::new("eu-9", 1).expect("a name");
    let foreign = edge.forward(connection, &report(&other, (asset, fence), 1)).await;
    assert_eq!(code(&foreign), Some(Code::Forbidden));
    let asked = edge.forward(connection, &ForwardRequest::ReadProgress { asset: None }).await;
    assert_eq!(code(&asked), Some(Code::Forbidden));

    let (reason, detail) = ("no_video".to_owned(), "no stream".to_owned());
    let failed = FailedJob { asset, fence, reason, fault: JobFault::Clip, detail };
    let failed = Command::Media(MediaCommand::ReportFailure(failed));
    edge.act(connection, worker, failed).await;
    let row = eventually("the member knows of it", async || {
        let row = job(first).await;
        (row["state"] == "failed").then_some(row)
    })
    .await;
    assert_eq!(row["detail"], "no stream");
    assert_eq!(row.get("progress"), None, "its lease is over");
    let path = format!("/v1/admin/jobs/{asset}/requeue");
    let silent = first.post(&path, json!({ "reason": "" })).await;
    assert_eq!(silent.body["code"], "REASON_REQUIRED");
    let again = first.post(&path, json!({ "reason": "a newer decoder" })).await;
    assert_eq!((again.status, &again.body["state"]), (200, &json!("queued")), "{}", again.body);
    let twice = first.post(&path, json!({ "reason": "a newer decoder" })).await;
    assert_eq!(twice.body["code"], "INVALID_STATE");
    for member in members {
        member.kill().await;
    }
}
