//! Captions in WebVTT (W3C): read strictly, kept as a subset, written again by us.
//!
//! ```text
//!  maker's file --parse--> cues: times, placement, plain markup --write--> the one segment
//!     kept      times, vertical line position size align, b i u v ruby rt, character references
//!     dropped   identifiers, NOTE, STYLE, REGION, classes, c, lang, timestamps inside a cue
//!     refused   everything else, with the line that is at fault
//! ```
//!
//! Nothing that is written can name another file or carry a style, whatever was read. The module
//! must not know whose captions they are. Read next: `manifest`, for how a revision names them.

use std::fmt::Write as _;

use crate::error::Rejection;

/// Bytes of a file that is read, at most.
pub const CAPTIONS_BYTES_MAX: usize = 128 * 1024;
/// Cues of a file, at most.
pub const CUES_MAX: usize = 4096;
/// Bytes of a cue's text, at most.
const CUE_BYTES_MAX: usize = 2048;
/// Cues end before this hour.
const HOURS_MAX: u64 = 24;

/// Captions that may be shown to anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captions(Vec<Cue>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cue {
    start_ms: u64,
    end_ms: u64,
    /// Settings in a fixed order, each after a space.
    settings: String,
    /// Markup of the subset, without empty lines.
    text: String,
}

impl Captions {
    /// Reads a file.
    ///
    /// # Errors
    /// A [`Rejection`] `captions` that names the line, or says which bound is exceeded.
    pub fn parse(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() > CAPTIONS_BYTES_MAX {
            return Err(refused(format!("captions have at most {CAPTIONS_BYTES_MAX} bytes")));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| refused("captions are text in UTF-8".into()))?;
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(refused("captions hold no control characters".into()));
        }
        let mut blocks = Blocks { lines: text.split('\n').enumerate() };
        let head = blocks.next().unwrap_or_default();
        let is_vtt = |line: &str| {
            line.strip_prefix("WEBVTT").is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(' ') || rest.starts_with('\t')
            })
        };
        // The head is the first block, so there may be no empty line before it.
        if !head.first().is_some_and(|(number, line)| *number == 0 && is_vtt(line)) {
            return Err(refused("line 1: WebVTT begins with WEBVTT".into()));
        }
        if let Some((number, _)) = head.iter().find(|(_, line)| line.contains("-->")) {
            return Err(at(*number, "an empty line must stand before the first cue"));
        }
        let mut cues: Vec<Cue> = Vec::new();
        for block in blocks {
            let Some(cue) = read_block(&block)? else { continue };
            if cues.last().is_some_and(|last| cue.start_ms < last.start_ms) {
                let number = block.first().map_or(0, |(number, _)| *number);
                return Err(at(number, "a cue starts before the one above it"));
            }
            if cues.len() >= CUES_MAX {
                return Err(refused(format!("captions have at most {CUES_MAX} cues")));
            }
            cues.push(cue);
        }
        Ok(Self(cues))
    }

    /// Leaves out what is after the end of a clip.
    #[must_use]
    pub fn cut(mut self, duration_ms: u64) -> Self {
        self.0.retain(|cue| cue.start_ms < duration_ms);
        for cue in &mut self.0 {
            cue.end_ms = cue.end_ms.min(duration_ms);
        }
        self
    }

    /// Writes the segment of an HLS rendition (RFC 8216 section 3.5): its clock is the picture's.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::from("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n");
        for Cue { start_ms, end_ms, settings, text: payload } in &self.0 {
            let (start, end) = (timestamp(*start_ms), timestamp(*end_ms));
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\n{start} --> {end}{settings}\n{payload}\n");
        }
        text
    }

    /// Whether nothing is ever shown.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A timestamp with hours.
pub(crate) fn timestamp(millis: u64) -> String {
    let seconds = millis / 1000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, millis % 1000)
}

/// Lines that stand together, with their numbers from 0.
struct Blocks<I> {
    lines: I,
}

impl<'a, I: Iterator<Item = (usize, &'a str)>> Iterator for Blocks<I> {
    type Item = Vec<(usize, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.lines.find(|(_, line)| !line.is_empty())?;
        let mut block = vec![first];
        block.extend(self.lines.by_ref().take_while(|(_, line)| !line.is_empty()));
        Some(block)
    }
}

/// One block; `None` for what is not a cue, or shows nothing.
fn read_block(block: &[(usize, &str)]) -> Result<Option<Cue>, Rejection> {
    let Some(((number, first), rest)) = block.split_first() else { return Ok(None) };
    let mut words = first.split([' ', '\t']);
    let kind = words.next().unwrap_or_default();
    let is_alone = words.next().is_none_or(str::is_empty);
    if kind == "NOTE" || (is_alone && (kind == "STYLE" || kind == "REGION")) {
        return match block.iter().find(|(_, line)| line.contains("-->")) {
            Some((number, _)) => Err(at(*number, "an arrow outside a cue")),
            None => Ok(None),
        };
    }
    let (number, times, payload) = if first.contains("-->") {
        (*number, *first, rest)
    } else {
        match rest.split_first() {
            Some(((number, second), rest)) if second.contains("-->") => (*number, *second, rest),
            Some(_) | None => return Err(at(*number, "neither a cue nor a comment")),
        }
    };
    let wrong = |what: &str| at(number, what);
    let (start, end) = times.split_once("-->").unwrap_or_default();
    let end = end.trim_start_matches([' ', '\t']);
    let (end, settings) = end.split_once([' ', '\t']).unwrap_or((end, ""));
    let time = |text: &str| millis(text.trim_matches([' ', '\t']));
    let start_ms = time(start).ok_or_else(|| wrong("a start that is not a time"))?;
    let end_ms = time(end).ok_or_else(|| wrong("an end that is not a time"))?;
    if end_ms <= start_ms {
        return Err(wrong("a cue that ends before it starts"));
    }
    let settings = placement(settings).ok_or_else(|| wrong("a setting that is not known"))?;
    if let Some((number, _)) = payload.iter().find(|(_, line)| line.contains("-->")) {
        return Err(at(*number, "an arrow in the text; an empty line is missing above it"));
    }
    let lines: Vec<&str> = payload.iter().map(|(_, line)| *line).collect();
    let text = markup(&lines.join("\n")).map_err(|what| at(number + 1, what))?;
    if text.len() > CUE_BYTES_MAX {
        return Err(at(number + 1, "a cue that is too long"));
    }
    Ok((!text.is_empty()).then_some(Cue { start_ms, end_ms, settings, text }))
}

/// `[hours:]mm:ss.ttt` in milliseconds.
fn millis(text: &str) -> Option<u64> {
    let (clock, thousandths) = text.split_once('.')?;
    let number = |digits: &str, length: usize| -> Option<u64> {
        let plain = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    };
    let mut parts = clock.rsplit(':');
    let seconds = number(parts.next()?, 2).filter(|seconds| *seconds < 60)?;
    let minutes = number(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    let hours = match parts.next() {
        Some(hours) => number(hours, 2).filter(|hours| *hours < HOURS_MAX)?,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + number(thousandths, 3)?)
}

/// The settings of a cue in a fixed order; `None` when one is unknown, doubled or malformed.
fn placement(settings: &str) -> Option<String> {
    const NAMES: [&str; 5] = ["vertical", "line", "position", "size", "align"];
    let mut found: [Option<&str>; 5] = [None; 5];
    for setting in settings.split([' ', '\t']).filter(|setting| !setting.is_empty()) {
        let (name, value) = setting.split_once(':')?;
        if name == "region" {
            continue;
        }
        let slot = found.get_mut(NAMES.iter().position(|known| *known == name)?)?;
        let (first, second) = value.split_once(',').unwrap_or((value, ""));
        let good = match name {
            "vertical" => ["rl", "lr"].contains(&value),
            "line" => {
                (is_percent(first) || is_line(first)) && among(second, &["start", "center", "end"])
            }
            "position" => {
                is_percent(first) && among(second, &["line-left", "center", "line-right"])
            }
            "size" => is_percent(value),
            _ => ["start", "center", "end", "left", "right"].contains(&value),
        };
        if !good || value.ends_with(',') || slot.replace(value).is_some() {
            return None;
        }
    }
    let mut text = String::new();
    for (name, value) in NAMES.iter().zip(found) {
        if let Some(value) = value {
            text.push_str(&format!(" {name}:{value}"));
        }
    }
    Some(text)
}

fn among(word: &str, known: &[&str]) -> bool {
    word.is_empty() || known.contains(&word)
}

/// A percentage from 0 to 100 with at most two decimals.
fn is_percent(text: &str) -> bool {
    let Some(number) = text.strip_suffix('%') else { return false };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let value: u32 = whole.parse().unwrap_or(u32::MAX);
    let is_zero = part.bytes().all(|byte| byte == b'0');
    digits(whole, 3) && digits(part, 2) && (value < 100 || (value == 100 && is_zero))
}

fn is_line(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// An open tag.
struct Open<'a> {
    name: &'a str,
    is_kept: bool,
}

/// The text of a cue in the subset, without empty lines.
fn markup(payload: &str) -> Result<String, &'static str> {
    let mut kept = String::with_capacity(payload.len());
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut rest = payload;
    while let Some(place) = rest.find('<') {
        let (text, tag) = rest.split_at(place);
        push_text(&mut kept, text);
        let (tag, after) = tag.split_once('>').ok_or("a tag without an end")?;
        rest = after;
        let tag = tag.strip_prefix('<').unwrap_or(tag);
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop().ok_or("an end tag without a start tag")?;
            if last.name != name {
                return Err("an end tag of another start tag");
            }
            if last.is_kept {
                kept.push_str(&format!("</{name}>"));
            }
        } else if millis(tag).is_none() {
            let tag = start_tag(tag, &open, &mut kept)?;
            open.push(tag);
        }
    }
    push_text(&mut kept, rest);
    match open.as_slice() {
        [] => {}
        // A voice that speaks the whole cue need not be ended.
        [Open { name: "v", .. }] => kept.push_str("</v>"),
        _ => return Err("a start tag without an end tag"),
    }
    // A line of which only tags were dropped would end the cue.
    let lines: Vec<&str> = kept.split('\n').filter(|line| !line.trim().is_empty()).collect();
    let text = lines.join("\n");
    // The end of a tag may make an arrow of two dashes, which would end the cue.
    if text.contains("-->") { Err("an arrow in the text") } else { Ok(text) }
}

fn start_tag<'a>(
    tag: &'a str,
    open: &[Open<'_>],
    kept: &mut String,
) -> Result<Open<'a>, &'static str> {
    let (head, annotation) = tag.split_once([' ', '\t', '\n']).unwrap_or((tag, ""));
    let name = head.split('.').next().unwrap_or(head);
    let annotation = annotation.trim();
    if tag.contains('<') {
        return Err("a tag inside a tag");
    }
    if name == "rt" && open.last().is_none_or(|last| last.name != "ruby") {
        return Err("rt outside ruby");
    }
    match name {
        "b" | "i" | "u" | "ruby" | "rt" if annotation.is_empty() => {
            kept.push_str(&format!("<{name}>"));
        }
        "v" if !annotation.is_empty() => {
            kept.push_str("<v ");
            push_text(kept, &annotation.replace('\n', " "));
            kept.push('>');
        }
        "c" | "lang" => return Ok(Open { name, is_kept: false }),
        _ => return Err("a tag that is not known"),
    }
    Ok(Open { name, is_kept: true })
}

/// Text without tags: what would begin a tag or a reference is written as a reference.
fn push_text(kept: &mut String, text: &str) {
    const REFERENCES: [&str; 6] = ["&amp;", "&lt;", "&gt;", "&nbsp;", "&lrm;", "&rlm;"];
    let mut rest = text;
    while let Some(place) = rest.find(['&', '>']) {
        let (before, from) = rest.split_at(place);
        kept.push_str(before);
        let known = REFERENCES.iter().find(|reference| from.starts_with(**reference));
        let (written, taken) = match known {
            Some(reference) => (*reference, reference.len()),
            None if from.starts_with('>') => ("&gt;", 1),
            None => ("&amp;", 1),
        };
        kept.push_str(written);
        rest = from.get(taken..).unwrap_or_default();
    }
    kept.push_str(rest);
}

fn at(number: usize, what: &str) -> Rejection {
    refused(format!("line {}: {what}", number + 1))
}

fn refused(detail: String) -> Rejection {
    Rejection::new("captions", detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n";

    fn written(text: &str) -> Result<String, String> {
        let captions = Captions::parse(text.as_bytes()).map_err(|refusal| refusal.detail)?;
        let text = captions.to_text();
        Ok(text.strip_prefix(HEAD).expect("the head").to_owned())
    }

    fn cue(payload: &str) -> Result<String, String> {
        let text = written(&format!("WEBVTT\n\n00:00.000 --> 00:01.000\n{payload}\n"))?;
        let text = text.strip_prefix("\n00:00:00.000 --> 00:00:01.000\n").unwrap_or("");
        Ok(text.trim_end_matches('\n').to_owned())
    }

    #[test]
    fn files_of_makers_become_plain_ones() {
        let file = "\u{FEFF}WEBVTT - turned bowls\r\nKind: captions\r\n\r\n\
            STYLE\r\n::cue { background: url(https://example.com/x.png) }\r\n\r\n\
            REGION\r\nid:fred width:40%\r\n\r\n\
            NOTE who reads this?\r\n\r\n\
            first\r\n00:01.000 --> 00:02.500 region:fred align:start line:-1 position:10%,line-left\r\n\
            <v.loud Mary Ann>Hello,\r\n<c.red>wood</c>\r\n\r\n\
            01:00:00.000\t-->\t01:00:01.000\r\nBark & <i>grain</i> &lt; 5 > 3";
        let wanted = "\n00:00:01.000 --> 00:00:02.500 line:-1 position:10%,line-left align:start\n\
            <v Mary Ann>Hello,\nwood</v>\n\
            \n01:00:00.000 --> 01:00:01.000\nBark &amp; <i>grain</i> &lt; 5 &gt; 3\n";
        assert_eq!(written(file), Ok(wanted.to_owned()));
        assert_eq!(written("WEBVTT"), Ok(String::new()));
        assert!(Captions::parse(b"WEBVTT\n\nNOTE\nnothing\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_webvtt_is_refused_with_its_line() {
        for (text, line) in [
            ("", "line 1"),
            ("\nWEBVTT", "line 1"),
            ("WEBVTTX", "line 1"),
            ("1\n00:00:00,000 --> 00:00:01,000\nSubRip", "line 1"),
            ("WEBVTT\n00:00.000 --> 00:01.000\nx", "line 2"),
            ("WEBVTT\n\nstray text", "line 3"),
            ("WEBVTT\n\n00:00,000 --> 00:01.000\nx", "line 3"),
            ("WEBVTT\n\n00:00.000 --> 00:60.000\nx", "line 3"),
            ("WEBVTT\n\n0:00:00.000 --> 00:01.000\nx", "line 3"),
            ("WEBVTT\n\n24:00:00.000 --> 24:01:00.000\nx", "line 3"),
            ("WEBVTT\n\n00:00.000 --> 00:01.00\nx", "line 3"),
            ("WEBVTT\n\n00:01.000 --> 00:01.000\nx", "line 3"),
            ("WEBVTT\n\n00:01.000 --> 00:02.000\nx\n\n00:00.500 --> 00:03.000\ny", "line 6"),
            ("WEBVTT\n\n00:01.000 --> 00:02.000\nx\n00:02.000 --> 00:03.000\ny", "line 5"),
            ("WEBVTT\n\n00:01.000 --> 00:02.000 color:red\nx", "line 3"),
            ("WEBVTT\n\n00:01.000 --> 00:02.000 align:start align:end\nx", "line 3"),
            ("WEBVTT\n\n00:01.000 --> 00:02.000 size:101%\nx", "line 3"),
            ("WEBVTT\n\n00:01.000 --> 00:02.000 position:100.5%\nx", "line 3"),
            ("WEBVTT\n\n00:01.000 --> 00:02.000 line:1,\nx", "line 3"),
            ("WEBVTT\n\nNOTE a\n00:01.000 --> 00:02.000", "line 4"),
        ] {
            let refusal = written(text).expect_err(text);
            assert!(refusal.starts_with(&format!("{line}:")), "{text:?}: {refusal}");
        }
        assert!(Captions::parse(b"WEBVTT\n\n\xFF").is_err());
        assert!(Captions::parse(b"WEBVTT\n\n00:00.000 --> 00:01.000\n\0").is_err());
        assert!(Captions::parse(&vec![b'\n'; CAPTIONS_BYTES_MAX + 1]).is_err());
        let many = "00:00.000 --> 00:01.000\nx\n\n".repeat(CUES_MAX + 1);
        assert!(written(&format!("WEBVTT\n\n{many}")).unwrap_err().contains("cues"));
        assert!(cue(&"x".repeat(CUE_BYTES_MAX + 1)).unwrap_err().contains("too long"));
    }

    #[test]
    fn markup_is_a_subset() {
        let good = |text: &str| cue(text).unwrap();
        assert_eq!(good("<b>a</b><i.x>b</i><u>c</u>"), "<b>a</b><i>b</i><u>c</u>");
        assert_eq!(good("<ruby>a<rt>b</rt></ruby>"), "<ruby>a<rt>b</rt></ruby>");
        assert_eq!(good("<lang en-GB>a</lang> <00:00:00.500>b"), "a b");
        assert_eq!(good("one\n<c></c>\ntwo"), "one\ntwo");
        assert_eq!(good("<v A & B>x"), "<v A &amp; B>x</v>");
        assert_eq!(good("&nbsp;&copy;&"), "&nbsp;&amp;copy;&amp;");
        assert_eq!(good("<c></c>"), "");
        for bad in [
            "<script>x</script>",
            "<img src=x>",
            "<b",
            "<b>x",
            "</b>",
            "<b><i>x</b></i>",
            "<rt>x</rt>",
            "<v>x",
            "<b x>y</b>",
            "<v a<b>x",
            "<v a-- >x",
            "<>",
        ] {
            assert!(cue(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cues_end_with_the_clip() {
        let file = "WEBVTT\n\n00:00.000 --> 00:09.000\na\n\n00:05.000 --> 00:06.000\nb\n";
        let text = Captions::parse(file.as_bytes()).unwrap().cut(5_000).to_text();
        assert_eq!(text, format!("{HEAD}\n00:00:00.000 --> 00:00:05.000\na\n"));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(pieces in prop::collection::vec(
            prop::sample::select(vec![
                "WEBVTT", "\n", "\n\n", "00:00.000 --> 00:01.000", " align:end", "<b>", "</b>",
                "<v A>", "<v ", "--", "<c.x>", "</c>", "text", "&", "&amp;", ">", "NOTE", "STYLE", "-->", "<",
                "<ruby>", "<rt>", "</rt>", "</ruby>", " ", "\r", "é",
            ]), 0..30,
        )) {
            let text = format!("WEBVTT\n\n{}", pieces.concat());
            if let Ok(captions) = Captions::parse(text.as_bytes()) {
                let written = captions.to_text();
                let again = Captions::parse(written.as_bytes()).expect("our own text");
                prop_assert_eq!(&again, &captions);
                prop_assert_eq!(again.to_text(), written);
            }
        }

        #[test]
        fn nothing_that_is_written_names_anything(payload in "(<v )?[<>/&a-cv:. \n-]{0,60}") {
            if let Ok(text) = cue(&payload) {
                for tag in text.split('<').skip(1) {
                    let (tag, _) = tag.split_once('>').expect("an end");
                    let name = tag.trim_start_matches('/').split(' ').next().unwrap();
                    prop_assert!(["b", "i", "u", "v", "ruby", "rt"].contains(&name), "{}", text);
                }
                prop_assert!(!text.contains("-->"));
            }
        }
    }
}
