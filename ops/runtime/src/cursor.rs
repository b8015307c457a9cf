//! Cursors of paged lists: opaque, signed, stable texts that say where the next page begins.
//!
//! ```text
//!   base64url( mac 16 | end of life, seconds 8 | position as JSON )
//!   mac = BLAKE3 keyed over list, end of life and position, its first 16 bytes
//! ```
//! A cursor of another list, of another key, altered or too old is `CURSOR_EXPIRED`: the client begins
//! again. Positions are sort keys, never offsets, so that what comes in between moves nothing. It must
//! not know what a position means. Read next: [`Paging`].

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fairground_types::limits::{PAGE_DEFAULT, PAGE_LONG_MAX};
use fairground_types::{Code, Millis, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::secret;

const MAC_LEN: usize = 16;
const HEAD_LEN: usize = MAC_LEN + 8;
/// Longest cursor that is looked at, in characters.
const TEXT_MAX: usize = 1_024;

/// Signs cursors.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// Derives the key from a secret that its holder keeps over restarts.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        Self(blake3::derive_key("fairground 2026 cursor key v1", secret))
    }

    /// Writes a cursor of `list` that counts for `life` from `now` on.
    pub fn seal<T: Serialize>(
        &self,
        list: &str,
        position: &T,
        (now, life): (Timestamp, Millis),
    ) -> String {
        // Positions are small plain values; one that JSON cannot hold would be refused when read.
        let position = serde_json::to_vec(position).unwrap_or_default();
        let ends = now.plus(life).as_unix_seconds().to_be_bytes();
        let mut bytes = self.mac(list, &ends, &position).to_vec();
        bytes.extend_from_slice(&ends);
        bytes.extend_from_slice(&position);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor of `list`.
    ///
    /// # Errors
    /// `CURSOR_EXPIRED` when it is not ours, altered, of another list or too old.
    pub fn open<T: DeserializeOwned>(
        &self,
        list: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<T, Problem> {
        self.read(list, text, now).ok_or_else(|| {
            Problem::new(Code::CursorExpired, "this cursor does not count any more; begin again")
        })
    }

    fn read<T: DeserializeOwned>(&self, list: &str, text: &str, now: Timestamp) -> Option<T> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, position) = bytes.split_at_checked(HEAD_LEN)?;
        let (mac, ends) = head.split_at_checked(MAC_LEN)?;
        let ends: [u8; 8] = ends.try_into().ok()?;
        let is_ours = secret::equal(mac, &self.mac(list, &ends, position));
        let is_alive = u64::from_be_bytes(ends) > now.as_unix_seconds();
        if is_ours && is_alive { serde_json::from_slice(position).ok() } else { None }
    }

    fn mac(&self, list: &str, ends: &[u8], position: &[u8]) -> [u8; MAC_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&u64::try_from(list.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(list.as_bytes());
        hasher.update(ends);
        hasher.update(position);
        let hash = hasher.finalize();
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(hash.as_bytes().split_at(MAC_LEN).0);
        mac
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(..)")
    }
}

/// How long a cursor counts, unless its list says otherwise.
pub const CURSOR_LIFE: Millis = Millis::from_mins(10);

/// What a list is cut into pages with.
#[derive(Clone, Copy, Debug)]
pub struct Pager<'a> {
    /// Signs its cursors.
    pub key: &'a CursorKey,
    /// Names the list, its filters included.
    pub list: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<R> {
    /// The rows, greatest sort key first.
    pub rows: Vec<R>,
    /// Where the next page begins; nothing after the last.
    pub next: Option<String>,
}

/// The query of a paged list: `?limit=20&cursor=...`.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// Rows of one page. Default 20.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
    /// `nextCursor` of the page before.
    #[param(max_length = 1024)]
    pub cursor: Option<String>,
}

impl Paging {
    /// Rows of one page, at most 100.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` when it is zero or too many.
    pub fn limit(&self) -> Result<usize, Problem> {
        self.limit_within(PAGE_LONG_MAX)
    }

    /// Rows of one page, at most `max`.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` when it is zero or too many.
    pub fn limit_within(&self, max: usize) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or_else(|| PAGE_DEFAULT.min(max));
        if (1..=max).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::invalid("limit", format!("must be 1 to {max}")))
        }
    }

    /// Cuts a page out of rows in any order, each with its sort key, greatest first. Memory is one
    /// page, time one look at each row.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` when the limit is no limit, `CURSOR_EXPIRED`.
    pub fn page<K, R>(
        &self,
        rows: impl IntoIterator<Item = (K, R)>,
        pager: Pager<'_>,
    ) -> Result<Page<R>, Problem>
    where
        K: Ord + Serialize + DeserializeOwned,
    {
        let limit = self.limit()?;
        let after: Option<K> = self.position(pager.key, pager.list, pager.now)?;
        let mut kept: BTreeMap<K, R> = BTreeMap::new();
        let mut has_more = false;
        for (key, row) in rows {
            if after.as_ref().is_none_or(|after| key < *after) {
                kept.insert(key, row);
                if kept.len() > limit {
                    kept.pop_first();
                    has_more = true;
                }
            }
        }
        let last = kept.first_key_value().filter(|_| has_more);
        let next = last.map(|(key, _)| pager.key.seal(pager.list, key, (pager.now, CURSOR_LIFE)));
        Ok(Page { rows: kept.into_values().rev().collect(), next })
    }

    /// Where the page begins; nothing for the first.
    ///
    /// # Errors
    /// `CURSOR_EXPIRED`.
    pub fn position<T: DeserializeOwned>(
        &self,
        key: &CursorKey,
        list: &str,
        now: Timestamp,
    ) -> Result<Option<T>, Problem> {
        self.cursor.as_deref().map(|text| key.open(list, text, now)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);
    const LIFE: Millis = Millis::from_mins(10);

    fn refused(found: Result<(u64, String), Problem>) -> bool {
        found.is_err_and(|problem| problem.code() == Code::CursorExpired)
    }

    #[test]
    fn a_cursor_is_read_by_its_key_for_its_list_while_it_lives() {
        let key = CursorKey::derive(b"secret");
        let position = (7_u64, "sty_1".to_owned());
        let text = key.seal("feed", &position, (NOW, LIFE));
        assert_eq!(key.open("feed", &text, NOW), Ok(position));
        assert!(refused(key.open("orders", &text, NOW)));
        assert!(refused(key.open("feed", &text, NOW.plus(LIFE))));
        assert!(refused(CursorKey::derive(b"other").open("feed", &text, NOW)));
        assert_eq!(text, key.seal("feed", &(7_u64, "sty_1"), (NOW, LIFE)));
    }

    #[test]
    fn an_altered_cursor_is_refused_at_every_place() {
        let key = CursorKey::derive(b"secret");
        let text = key.seal("feed", &(7_u64, "x"), (NOW, LIFE));
        let bytes = URL_SAFE_NO_PAD.decode(&text).expect("ours");
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(refused(key.open("feed", &URL_SAFE_NO_PAD.encode(altered), NOW)), "{at}");
        }
        for text in ["", "x", "====", &"A".repeat(2_000)] {
            assert!(refused(key.open("feed", text, NOW)));
        }
    }

    #[test]
    fn pages_hold_every_row_once_whatever_comes_in_between() {
        let key = CursorKey::derive(b"secret");
        let pager = Pager { key: &key, list: "rows", now: NOW };
        let mut rows: Vec<u64> = (0..50).map(|row| row * 7 % 50).collect();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let paging = Paging { limit: Some(7), cursor };
            let page = paging.page(rows.iter().map(|row| (*row, *row)), pager).expect("a page");
            assert!(page.rows.len() <= 7);
            seen.extend(page.rows);
            // Newer rows come before the first page and move nothing.
            rows.push(100 + seen.last().copied().unwrap_or_default());
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let wanted: Vec<u64> = (0..50).rev().collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn a_page_has_one_to_a_hundred_rows_and_twenty_when_nothing_is_said() {
        let limit = |limit| Paging { limit, cursor: None };
        assert_eq!(limit(None).limit(), Ok(20));
        assert_eq!(limit(Some(100)).limit(), Ok(100));
        assert!(limit(Some(0)).limit().is_err() && limit(Some(101)).limit().is_err());
        assert!(limit(Some(51)).limit_within(50).is_err());
    }
}
