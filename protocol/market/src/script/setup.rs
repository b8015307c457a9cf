//! What stands before a table begins: edges, people, listed stories.
//!
//! Everything goes through commands, as it would in a cluster. Read next: the parent module.

use fairground_types::command::{
    AccountCommand, Actor, Channel, ClusterCommand, Command, CreateAccount, CreateJoinToken,
    Extent, JoinProof, JoinRole, MediaCommand, PublishRevision, RegisterAsset, RegisterEdge,
    ReviewDecision, SaveDraft, SealedContact, StoryCommand,
};
use fairground_types::text::{Handle, Region};
use fairground_types::{Accepted, AssetId, BlobHash, Digest, JoinTokenId, Millis, Role, Timestamp};

use super::{World, draft, edge_named, person, story_named};

impl World {
    pub(super) fn join_edge(&mut self, at: Timestamp, name: &str) -> Result<(), String> {
        let token = JoinTokenId::from_bits(self.keys.into());
        let create = CreateJoinToken {
            token,
            secret: Digest::of(name.as_bytes()),
            role: JoinRole::Edge,
            region: Region::parse("eu").map_err(|why| why.to_string())?,
            expires_at: at.plus(Millis::from_hours(1)),
        };
        self.must(at, Actor::Cluster, Command::Cluster(ClusterCommand::CreateJoinToken(create)))?;
        let register = RegisterEdge {
            proof: JoinProof { token, secret: Digest::of(name.as_bytes()) },
            name: name.to_owned(),
            public_url: format!("http://{name}.example"),
            receipt_key: [7; 32],
            takes_bids: true,
        };
        self.must(at, Actor::Anonymous, Command::Cluster(ClusterCommand::RegisterEdge(register)))?;
        Ok(())
    }

    pub(crate) fn join_person(&mut self, at: Timestamp, letter: char) -> Result<(), String> {
        let is_maker = matches!(letter, 'm' | 'n');
        let create = CreateAccount {
            user: person(&letter.to_string())?,
            identifier: Digest::of(letter.to_string().as_bytes()),
            contact: SealedContact { wrapped_key: vec![], sealed: vec![] },
            channel: Channel::Email,
            handle: Some(Handle::parse(&format!("user-{letter}")).map_err(|why| why.to_string())?),
            roles: if is_maker { vec![Role::Maker] } else { vec![] },
        };
        self.must(at, Actor::Cluster, Command::Account(AccountCommand::CreateAccount(create)))?;
        Ok(())
    }

    pub(crate) fn list_story(&mut self, at: Timestamp, name: &str) -> Result<(), String> {
        let story = story_named(name)?;
        let asset = AssetId::from_bits(story.to_bits());
        let maker = Actor::User(person("m")?);
        let register = RegisterAsset {
            asset,
            source: BlobHash::from_bytes([1; 32]),
            source_bytes: 1_000,
            duration: Millis::from_secs(10),
            width: 640,
            height: 360,
        };
        self.must(at, maker.clone(), Command::Media(MediaCommand::RegisterAsset(register)))?;
        let worker = Actor::Edge(edge_named("e1")?);
        let leased = self.must(at, worker.clone(), Command::Media(MediaCommand::LeaseJob))?;
        let Accepted::JobLeased { fence, .. } = leased else { return Err("no lease".to_owned()) };
        let publish = PublishRevision {
            asset,
            fence,
            revision: 1,
            manifest: BlobHash::from_bytes([2; 32]),
            codecs: vec!["h264".to_owned()],
            extent: Extent::Last,
        };
        self.must(at, worker, Command::Media(MediaCommand::PublishRevision(publish)))?;
        let save = SaveDraft { story, base_version: None, draft: draft(name, asset)? };
        self.must(at, maker.clone(), Command::Story(StoryCommand::SaveDraft(save)))?;
        self.must(at, maker, Command::Story(StoryCommand::SubmitStory { story, attested: true }))?;
        let review =
            Command::Story(StoryCommand::ReviewStory { story, decision: ReviewDecision::Approve });
        self.must(at, Actor::Cluster, review)?;
        Ok(())
    }
}
