//! People: every transition and refusal of standing, capabilities, ways in, profiles and erasure.

mod capabilities;
mod leaving;
mod profiles;
mod standing;
mod ways_in;

use fairground_types::command::{
    AccountCommand, Actor, Channel, Command, MarketPolicy, PeopleCommand, RequestCode,
    SealedContact, StaffCommand, VerifyCode,
};
use fairground_types::text::Note;
use fairground_types::{
    Capability, ChallengeId, Code, Digest, Millis, SignInId, TaskId, Timestamp, UserId,
};

use crate::script::{World, person};

fn world() -> World {
    World::new(MarketPolicy::default(), &["e1"]).expect("the set-up is accepted")
}

fn world_with(change: impl FnOnce(&mut MarketPolicy)) -> World {
    let mut policy = MarketPolicy::default();
    change(&mut policy);
    World::new(policy, &["e1"]).expect("the set-up is accepted")
}

fn user(letter: &str) -> UserId {
    person(letter).expect("a letter")
}

fn now(world: &World) -> Timestamp {
    world.market.last_at()
}

fn does(world: &mut World, letter: &str, command: PeopleCommand) -> Option<Code> {
    let at = now(world);
    world.direct(at, Actor::User(user(letter)), Command::People(command)).code()
}

fn staff(world: &mut World, command: StaffCommand) -> Option<Code> {
    let at = now(world);
    let command = Command::People(PeopleCommand::Staff(command));
    world.direct(at, Actor::Cluster, command).code()
}

fn nobody(world: &mut World, command: PeopleCommand) -> Option<Code> {
    let at = now(world);
    world.direct(at, Actor::Anonymous, Command::People(command)).code()
}

fn reason() -> Note {
    Note::parse("as the rules say").expect("a note")
}

/// Signs somebody in by a code.
fn sign_in(world: &mut World, letter: &str, number: u128) -> Option<Code> {
    let at = now(world);
    let identifier = Digest::of(letter.as_bytes());
    let code = Digest::of(b"right");
    let request = RequestCode {
        challenge: ChallengeId::from_bits(number),
        identifier,
        contact: SealedContact { wrapped_key: vec![1], sealed: vec![2] },
        channel: Channel::Email,
        code,
        origin: None,
    };
    let asked =
        world.direct(at, Actor::Anonymous, Command::Account(AccountCommand::RequestCode(request)));
    if let Some(refused) = asked.code() {
        return Some(refused);
    }
    let verify = VerifyCode {
        identifier,
        code,
        new_user: UserId::from_bits(5_000 + number),
        sign_in: SignInId::from_bits(number),
        refresh: Digest::of(&number.to_le_bytes()),
    };
    world.direct(at, Actor::Anonymous, Command::Account(AccountCommand::VerifyCode(verify))).code()
}

fn wait(world: &mut World, span: Millis) {
    let until = now(world).plus(span);
    world.keep_time(until);
    let tick =
        fairground_types::command::Entry { term: 1, at: until, marks: vec![], commands: vec![] };
    world.apply(tick);
    assert_eq!(world.market.violations(), Vec::<String>::new());
}

fn ask(capability: Capability, task: u128) -> PeopleCommand {
    PeopleCommand::RequestCapability { capability, task: TaskId::from_bits(task) }
}

fn strike(letter: &str) -> StaffCommand {
    StaffCommand::Strike { user: user(letter), reason: reason() }
}
