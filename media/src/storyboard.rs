//! The index of a storyboard: WebVTT cues that name a part of a sheet for every span of time.
//!
//! ```text
//!  00:00:02.000 --> 00:00:04.000
//!  storyboard/0.jpg#xywh=160,0,160,90        media fragment: x, y, width, height in pixels
//! ```
//!
//! Players look the time up under the pointer and show that part. Pure text, rendered from the
//! manifest. Read next: `path`, which takes the names back.

use std::fmt::Write as _;

use crate::manifest::{Manifest, Storyboard};
use crate::webvtt::timestamp;

/// Renders the index; `None` when the revision has no storyboard.
#[must_use]
pub fn index(manifest: &Manifest) -> Option<String> {
    let board = manifest.storyboard.as_ref()?;
    let mut text = String::from("WEBVTT\n");
    for picture in 0..board.pictures {
        let first = u64::from(picture).saturating_mul(board.frames_apart);
        let next = first.saturating_add(board.frames_apart).min(manifest.frame_count);
        let [start, end] = [first, next].map(|frame| manifest.frame_rate.millis_of(frame));
        let (sheet, x, y) = place(board, picture);
        let Storyboard { width, height, .. } = board;
        // Writing to a `String` cannot fail.
        let _ = write!(
            text,
            "\n{} --> {}\nstoryboard/{sheet}.jpg#xywh={x},{y},{width},{height}\n",
            timestamp(start),
            timestamp(end)
        );
    }
    Some(text)
}

/// Sheet, and left and upper edge on it.
fn place(board: &Storyboard, picture: u32) -> (u32, u32, u32) {
    let per_sheet = board.columns.saturating_mul(board.rows).max(1);
    let on_sheet = picture % per_sheet;
    let columns = board.columns.max(1);
    let (column, row) = (on_sheet % columns, on_sheet / columns);
    let edge = |count: u32, side: u32| count.saturating_mul(side);
    (picture / per_sheet, edge(column, board.width), edge(row, board.height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::sample;

    #[test]
    fn cues_name_parts_of_sheets() {
        let text = index(&sample()).unwrap();
        let wanted = "WEBVTT\n\n\
            00:00:00.000 --> 00:00:01.001\nstoryboard/0.jpg#xywh=0,0,160,90\n\n\
            00:00:01.001 --> 00:00:02.002\nstoryboard/0.jpg#xywh=160,0,160,90\n\n\
            00:00:02.002 --> 00:00:03.003\nstoryboard/1.jpg#xywh=0,0,160,90\n";
        assert_eq!(text, wanted);
        assert_eq!(timestamp(3_723_004), "01:02:03.004");
        let mut without = sample();
        without.storyboard = None;
        assert_eq!(index(&without), None);
    }
}
