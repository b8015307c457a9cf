//! The automatic check of stories: a port, and the checks that need nobody else.
//!
//! The default looks at texts (words of the operator's list, links, contact details) and at facts of
//! clips. It is never certain, so it alone refuses nothing and approves nothing that the policy does
//! not allow; a deployment puts a stronger one behind [`StoryChecker`]. It must not decide: the
//! market does. Read next: `fairground_market`'s review of stories.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use fairground_market::StoryCheck;
use fairground_types::Millis;
use fairground_types::command::{CheckCategory, CheckResult, Finding, StoryDraft};

/// How long a checker may take.
pub(super) const CHECK_WAIT: Duration = Duration::from_secs(20);
/// A clip shorter than this shows nothing.
const CLIP_MIN: Millis = Millis::from_secs(1);
/// Fewest pixels of the short side of a clip that can be judged.
const SIDE_MIN: u32 = 180;

/// A checker's answer, some time later; none when it cannot look.
pub(crate) type Checking<'a> = Pin<Box<dyn Future<Output = Option<CheckResult>> + Send + 'a>>;

/// Looks at a story before a moderator does.
pub(crate) trait StoryChecker: Send + Sync {
    /// Looks.
    fn check<'a>(&'a self, story: &'a StoryCheck) -> Checking<'a>;
}

/// Asks a checker; one that does not answer within `wait` could not look.
pub(crate) async fn ask(
    checker: &dyn StoryChecker,
    story: &StoryCheck,
    wait: Duration,
) -> CheckResult {
    match tokio::time::timeout(wait, checker.check(story)).await {
        Ok(Some(result)) => result,
        Ok(None) | Err(_) => CheckResult::Unavailable,
    }
}

/// Checks of this process alone.
#[derive(Debug)]
pub(crate) struct LocalChecker;

impl StoryChecker for LocalChecker {
    fn check<'a>(&'a self, story: &'a StoryCheck) -> Checking<'a> {
        Box::pin(async move { Some(look(story)) })
    }
}

fn look(story: &StoryCheck) -> CheckResult {
    let text = texts(&story.contents).to_lowercase();
    let hit = |found: bool, score: u16| if found { score } else { 0 };
    let words = story.reported_words.iter().map(|word| word.to_lowercase());
    let names_word = words.filter(|word| !word.is_empty()).any(|word| holds_word(&text, &word));
    let is_odd = story.clips.len() != story.contents.clips.len()
        || story
            .clips
            .iter()
            .any(|clip| clip.duration < CLIP_MIN || clip.width.min(clip.height) < SIDE_MIN);
    let findings = vec![
        Finding { category: CheckCategory::Words, score: hit(names_word, 9_000) },
        Finding { category: CheckCategory::Links, score: hit(has_link(&text), 6_000) },
        Finding { category: CheckCategory::ContactDetails, score: hit(has_contact(&text), 7_000) },
        Finding { category: CheckCategory::Video, score: hit(is_odd, 3_000) },
    ];
    // It sees no picture, so it is as sure as texts allow.
    CheckResult::Scored { findings, confidence: 9_000 }
}

fn texts(contents: &StoryDraft) -> String {
    let sections = &contents.sections;
    let mut parts = vec![
        contents.title.as_str(),
        contents.short_description.as_str(),
        contents.overview.as_str(),
    ];
    parts.extend(contents.clips.iter().map(|clip| clip.label.as_str()));
    parts.extend(sections.process_timeline.iter().map(|step| step.as_str()));
    parts.extend(sections.materials.iter().chain(&sections.notes).map(|text| text.as_str()));
    parts.extend(sections.location.iter().map(|text| text.as_str()));
    parts.join("\n")
}

/// Whether a word stands in a text by itself.
fn holds_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(place, found)| {
        let before = text.get(..place).and_then(|head| head.chars().next_back());
        let after = text.get(place + found.len()..).and_then(|tail| tail.chars().next());
        let is_edge = |letter: Option<char>| letter.is_none_or(|letter| !letter.is_alphanumeric());
        is_edge(before) && is_edge(after)
    })
}

fn has_link(text: &str) -> bool {
    ["http://", "https://", "www."].iter().any(|sign| text.contains(sign))
}

/// A mail address, or so many digits together that they dial somebody.
fn has_contact(text: &str) -> bool {
    let is_mail = text.split_whitespace().any(|word| {
        word.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
    });
    let mut digits = 0;
    let dials = text.chars().any(|letter| {
        digits = match letter {
            '0'..='9' => digits + 1,
            ' ' | '-' | '/' | '(' | ')' | '.' | '+' => digits,
            _ => 0,
        };
        digits >= 9
    });
    is_mail || dials
}

#[cfg(test)]
mod tests {
    use fairground_market::CheckedClip;
    use fairground_types::command::{Clip, StorySections};
    use fairground_types::text::{Category, ClipLabel, Overview, Summary, Title};
    use fairground_types::{AssetId, BlobHash, Currency, Money, StoryId};

    use super::*;

    fn story(overview: &str) -> StoryCheck {
        let asset = AssetId::from_bits(1);
        StoryCheck {
            story: StoryId::from_bits(1),
            version: 1,
            contents: StoryDraft {
                title: Title::parse("A bowl").expect("text"),
                short_description: Summary::parse("turned").expect("text"),
                category: Category::parse("wood").expect("text"),
                overview: Overview::parse(overview).expect("text"),
                clips: vec![Clip {
                    asset_id: asset,
                    label: ClipLabel::parse("lathe").expect("text"),
                }],
                sections: StorySections::default(),
                tags: vec![],
                minimum_offer: Money::new(10_000, Currency::Eur),
                publish_when_approved: true,
            },
            clips: vec![CheckedClip {
                asset,
                source: BlobHash::from_bytes([1; 32]),
                duration: Millis::from_secs(10),
                width: 640,
                height: 360,
            }],
            reported_words: vec!["Ivory".to_owned()],
        }
    }

    fn found(overview: &str) -> Vec<CheckCategory> {
        let CheckResult::Scored { findings, .. } = look(&story(overview)) else { return vec![] };
        findings
            .iter()
            .filter(|finding| finding.score > 0)
            .map(|finding| finding.category)
            .collect()
    }

    #[test]
    fn words_links_and_contact_details_are_found() {
        assert_eq!(found("Inlay of ivory."), [CheckCategory::Words]);
        assert_eq!(found("Ivorylike resin, made in 2024, 30 x 40 cm."), []);
        assert_eq!(found("See www.shop.example"), [CheckCategory::Links]);
        assert_eq!(found("write to maker@shop.example"), [CheckCategory::ContactDetails]);
        assert_eq!(found("call 020 7946-0000 1"), [CheckCategory::ContactDetails]);
    }

    struct Silent;

    impl StoryChecker for Silent {
        fn check<'a>(&'a self, _: &'a StoryCheck) -> Checking<'a> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_checker_that_does_not_answer_could_not_look() {
        assert_eq!(
            ask(&Silent, &story("plain"), Duration::from_millis(1)).await,
            CheckResult::Unavailable
        );
        let local = ask(&LocalChecker, &story("plain"), CHECK_WAIT).await;
        assert!(matches!(local, CheckResult::Scored { confidence: 9_000, .. }));
    }
}
