//! Every bound in one file. A queue, body, batch, wait or retry that is not here is configuration.

use crate::time::Millis;

/// Widest stamp that is accepted (bids.md section 3).
pub const STAMP_WIDTH_MAX: Millis = Millis::new(500);
/// How long a bid stays valid when the client does not say.
pub const BID_VALID_DEFAULT: Millis = Millis::from_secs(120);
/// Shortest validity that a client may ask for.
pub const BID_VALID_MIN: Millis = Millis::from_secs(5);
/// Longest validity that a client may ask for, checked again in apply.
pub const BID_VALID_MAX: Millis = Millis::from_secs(300);
/// How long a bid request waits for its verdict when the client does not say (RFC 7240 `wait`).
pub const BID_WAIT_DEFAULT: Millis = Millis::from_secs(2);
/// Longest wait for a verdict.
pub const BID_WAIT_MAX: Millis = Millis::from_secs(10);
/// Judged bids of one bidder in one auction.
pub const BIDS_PER_BIDDER_MAX: u32 = 500;
/// Marks of one edge that wait for their tail.
pub const PENDING_MARKS_MAX: usize = 8;
/// Beat period of an edge.
pub const BEAT_PERIOD: Millis = Millis::new(500);
/// Least time between two beats sent early.
pub const BEAT_GAP_MIN: Millis = Millis::new(20);
/// Drift allowed for on an edge's clock since its last good answer, parts per million.
pub const CLOCK_DRIFT_PPM: u64 = 500;
/// A gap between two entries that ends "running" (bids.md `resumed_at`).
pub const RESUME_GAP: Millis = Millis::from_secs(3);
/// A gap between two entries that is an outage (domain 10.7).
pub const OUTAGE_GAP: Millis = Millis::from_secs(30);
/// A gap from which on auctions get a day, not a quarter of an hour (domain 10.7).
pub const OUTAGE_LONG_GAP: Millis = Millis::from_hours(2);
/// Extension after an outage.
pub const OUTAGE_EXTENSION: Millis = Millis::from_mins(15);
/// Extension after a long outage.
pub const OUTAGE_LONG_EXTENSION: Millis = Millis::from_hours(24);
/// Default grace for a silent edge past a close.
pub const GRACE_DEFAULT: Millis = Millis::from_secs(30);
/// Least grace; also the grace once no extension is possible any more.
pub const GRACE_MIN: Millis = Millis::from_secs(3);
/// An intake edge whose counted mark lags more than this is silent.
pub const INTAKE_LAG_MAX: Millis = Millis::from_secs(5);
/// How long an edge may be silent before it leaves the intake.
pub const INTAKE_SILENCE_MAX: Millis = Millis::from_mins(5);
/// A bid committed later than this after its stamp is named in the record.
pub const LATE_COMMIT: Millis = Millis::from_secs(2);
/// How old an edge's view or revocations may be while it takes bids or starts playback.
pub const VIEW_AGE_MAX: Millis = Millis::from_mins(5);
/// Longest gap between ticks while an auction is open.
pub const TICK_PERIOD: Millis = Millis::from_secs(1);

/// Life of a one-time code.
pub const CODE_LIFE: Millis = Millis::from_mins(5);
/// Wrong tries that a one-time code survives.
pub const CODE_TRIES_MAX: u32 = 5;
/// Codes that one identifier may ask for in five minutes.
pub const CODES_PER_WINDOW_MAX: u32 = 3;
/// How long an identifier that asked for more is blocked.
pub const CODES_BLOCK: Millis = Millis::from_mins(15);
/// Codes that one identifier may ask for in an hour.
pub const CODES_PER_HOUR_MAX: u32 = 5;
/// Codes that one identifier may ask for in a day.
pub const CODES_PER_DAY_MAX: u32 = 10;
/// Codes that one network address may ask for in five minutes.
pub const CODES_PER_ORIGIN_MAX: u32 = 20;
/// Codes that one network address may ask for in an hour.
pub const CODES_PER_ORIGIN_HOUR_MAX: u32 = 100;
/// Codes that wait to be sent, in one leader's memory.
pub const CHALLENGES_MAX: usize = 100_000;
/// Identifiers and network addresses that asked for a code in a day, each.
pub const GATES_MAX: usize = 500_000;
/// Wrong codes in a row and how long they lock an identifier (domain 3.10).
pub const LOCKOUT_LADDER: [(u32, Millis); 4] = [
    (3, Millis::from_mins(5)),
    (5, Millis::from_mins(30)),
    (10, Millis::from_hours(1)),
    (15, Millis::from_hours(24)),
];
/// How long an account is locked when a refresh token was used twice, or a way back was guessed at.
pub const THEFT_LOCK: Millis = Millis::from_mins(30);
/// Life of a way back into an account.
pub const RECOVERY_LIFE: Millis = Millis::from_mins(15);
/// Wrong secrets that a way back survives.
pub const RECOVERY_TRIES_MAX: u32 = 5;
/// How old a sign-in may be for what needs a fresh one.
pub const STEP_UP_AGE_MAX: Millis = Millis::from_mins(10);
/// Life of a token that links a way to sign in.
pub const LINK_TOKEN_LIFE: Millis = Millis::from_mins(10);
/// Devices of one account.
pub const DEVICES_PER_USER_MAX: usize = 20;
/// Characters of a profile as JSON.
pub const PROFILE_TEXT_MAX: usize = 2_000;
/// Reasons why a capability is not given.
pub const BLOCKERS_MAX: usize = 8;
/// Life of an invitation when its author says nothing.
pub const INVITATION_LIFE: Millis = Millis::from_hours(7 * 24);
/// Life of an invitation at most.
pub const INVITATION_LIFE_MAX: Millis = Millis::from_hours(30 * 24);
/// Invitations that are remembered at a time.
pub const INVITATIONS_MAX: usize = 10_000;
/// Invitation codes that one account may try in an hour.
pub const CLAIMS_PER_HOUR_MAX: usize = 5;
/// Accounts that one account may block.
pub const BLOCKS_MAX: usize = 200;
/// Makers that one account may follow.
pub const FOLLOWS_MAX: usize = 5_000;
/// Saved addresses of one account.
pub const ADDRESSES_MAX: usize = 20;
/// Strikes that one account keeps.
pub const STRIKES_MAX: usize = 64;
/// Highest version of a text to consent to: what every client's plain integers hold.
pub const TEXT_VERSION_MAX: u32 = 2_147_483_647;
/// Age after which a consent is asked for again.
pub const CONSENT_LIFE: Millis = Millis::from_hours(365 * 24);
/// How long a copy of one's data can be fetched.
pub const EXPORT_LIFE: Millis = Millis::from_hours(7 * 24);
/// How soon a copy of one's data is there, and a deletion has begun, at the latest.
pub const DATA_REQUEST_DUE: Millis = Millis::from_hours(24);
/// Data requests of one account that are remembered.
pub const DATA_REQUESTS_MAX: usize = 20;
/// How long a closed account is kept before it is erased.
pub const ERASE_AFTER: Millis = Millis::from_hours(30 * 24);
/// How often a deletion that waits for something open looks again.
pub const DELETION_LOOKS_AGAIN: Millis = Millis::from_mins(15);
/// Life of an access token.
pub const ACCESS_TOKEN_LIFE: Millis = Millis::from_mins(15);
/// Life of a playback, over all its tokens, at most.
pub const PLAYBACK_LIFE_MAX: Millis = Millis::from_hours(6);
/// Life of a sign-in without use.
pub const SIGN_IN_IDLE_MAX: Millis = Millis::from_hours(7 * 24);
/// Life of a sign-in at most.
pub const SIGN_IN_MAX: Millis = Millis::from_hours(30 * 24);
/// How long the refresh token before the newest one is still accepted, once.
pub const REFRESH_REUSE_GRACE: Millis = Millis::from_secs(10);
/// Sign-ins of one account at a time.
pub const SIGN_INS_PER_USER_MAX: usize = 20;

/// Lowest amount of an offer, in minor units of a two-digit currency.
pub const OFFER_FLOOR_MINOR: u64 = 100;
/// Highest amount of an offer or bid, in minor units.
pub const AMOUNT_CEILING_MINOR: u64 = 99_999_999;
/// Offers of one buyer per listing cycle.
pub const OFFERS_PER_BUYER_MAX: u32 = 3;
/// Offers of one buyer in an hour.
pub const OFFERS_PER_HOUR_MAX: u32 = 10;
/// Highest amount that any policy may allow: what every reader of JSON keeps exactly.
pub const AMOUNT_MAX_MINOR: u64 = 9_007_199_254_740_991;
/// How long an offer that waits for its maker may be withdrawn.
pub const OFFER_WITHDRAWAL: Millis = Millis::from_mins(5);
/// How long a maker may look at an offer before it opens by itself.
pub const OFFER_REVIEW: Millis = Millis::from_hours(24);
/// Listings of how many days a story is compared with when it is asked how wanted it is.
pub const POPULARITY_SPAN: Millis = Millis::from_hours(30 * 24);
/// Offers that are over, kept per story.
pub const OFFERS_KEPT_MAX: usize = 200;
/// Offers on one story that wait for the maker at a time.
pub const OFFERS_PENDING_MAX: usize = 1_000;
/// Buyers that one maker blocks.
pub const BLOCKED_BUYERS_MAX: usize = 1_000;
/// Countries of one maker's ship-to list.
pub const SHIP_TO_MAX: usize = 250;
/// Second chances in one auction.
pub const SECOND_CHANCES_MAX: u32 = 3;
/// How long a lock waits for its maker's capability to be paid.
pub const CAPABILITY_WAIT: Millis = Millis::from_hours(24);
/// The longest move of a close by an admin.
pub const CLOSE_OVERRIDE_MAX: Millis = Millis::from_hours(24);
/// Clips of a story.
pub const CLIPS_PER_STORY_MAX: usize = 7;
/// Fewest clips of a story, unless a market's policy says otherwise.
pub const CLIPS_PER_STORY_MIN: u32 = 3;
/// Tags of a story.
pub const TAGS_PER_STORY_MAX: usize = 10;
/// Steps in the process timeline of a story.
pub const STEPS_PER_STORY_MAX: usize = 20;
/// Frozen versions of a story.
pub const VERSIONS_PER_STORY_MAX: usize = 100;
/// Measures of moderators that a story remembers; the oldest go first.
pub const MEASURES_PER_STORY_MAX: usize = 20;
/// Findings of one automatic check.
pub const FINDINGS_MAX: usize = 16;
/// Time in which a moderator decides about a story.
pub const REVIEW_SLA: Millis = Millis::from_hours(24);
/// How long the automatic check of a story may take before a moderator does it.
pub const CHECK_WAIT: Millis = Millis::from_mins(5);
/// A score above it (hundredths of a percent) refuses a story without a moderator.
pub const CHECK_REJECT_ABOVE: u16 = 9_500;
/// No score above it lets a story be approved without a moderator, where the policy allows that.
pub const CHECK_CLEAN_MAX: u16 = 1_000;
/// Least confidence with which a check may approve.
pub const CHECK_CONFIDENCE_MIN: u16 = 9_000;
/// How far ahead a publication may be planned.
pub const SCHEDULE_AHEAD_MAX: Millis = Millis::from_hours(366 * 24);
/// Time in which a maker may appeal against a takedown.
pub const APPEAL_WINDOW: Millis = Millis::from_hours(14 * 24);
/// Moderators that are told of a review that takes too long.
pub const MODERATORS_TOLD_MAX: usize = 50;
/// Life of a share link.
pub const SHARE_LIFE: Millis = Millis::from_hours(24);
/// How long an ended share link is still known as one.
pub const SHARE_MEMORY: Millis = Millis::from_hours(7 * 24);
/// Share links that one account may make in an hour.
pub const SHARES_PER_HOUR_MAX: usize = 20;
/// Stories that one account likes.
pub const LIKES_PER_USER_MAX: u32 = 10_000;
/// Stories that one account has saved.
pub const SAVES_PER_USER_MAX: u32 = 5_000;
/// Auctions that one account watches.
pub const WATCHES_PER_USER_MAX: u32 = 500;
/// Reports of one story that are kept.
pub const REPORTS_PER_STORY_MAX: usize = 100;
/// Makers that one account has blocked from its feed.
pub const BLOCKED_MAKERS_MAX: usize = 200;
/// Tags that one account prefers in its feed.
pub const PREFERRED_TAGS_MAX: usize = 20;
/// Stories in one batch of counted views.
pub const VIEW_COUNTS_MAX: usize = 500;
/// Views of one story that one batch may bring.
pub const VIEWS_PER_COUNT_MAX: u32 = 100_000;
/// Hours that trending looks back.
pub const TREND_HOURS: u64 = 24;
/// Resubmissions of a rejected story.
pub const RESUBMISSIONS_MAX: u32 = 3;
/// Checkout attempts of one sale lock: the first and three retries.
pub const CHECKOUT_ATTEMPTS_MAX: u32 = 4;

/// Bytes of an id, code, URL or reason of the payment provider.
pub const PROVIDER_TEXT_MAX: usize = 2_048;
/// Payments of one lock that wait for finance.
pub const FINANCE_HOLDS_MAX: usize = 16;
/// Dead letters that are kept; the oldest goes first.
pub const DEAD_LETTERS_MAX: usize = 10_000;
/// Refunds of one order.
pub const REFUNDS_PER_ORDER_MAX: usize = 50;
/// Rows of one page of the ledger.
pub const LEDGER_PAGE_MAX: usize = 500;
/// Life of a link to a receipt.
pub const RECEIPT_LINK_LIFE: Millis = Millis::from_hours(24);
/// First reminder before the end of a payment window.
pub const PAYMENT_REMINDER_FIRST: Millis = Millis::from_hours(12);
/// Last reminder before the end of a payment window.
pub const PAYMENT_REMINDER_LAST: Millis = Millis::from_hours(2);
/// How long past its end a window waits for the provider to say how its sessions stand.
pub const PAYMENT_SETTLE_MAX: Millis = Millis::from_hours(25);
/// How far an admin may move the end of a payment window at a time.
pub const PAYMENT_EXTENSION_MAX: Millis = Millis::from_hours(72);
/// How long a share waits for a maker who cannot be paid.
pub const PAYOUT_WAIT_MAX: Millis = Millis::from_hours(80 * 24);
/// Payment window.
pub const PAYMENT_WINDOW: Millis = Millis::from_hours(24);
/// Time in which a maker decides after a failed payment.
pub const DECISION_WINDOW: Millis = Millis::from_hours(24);
/// Time from payment to tracking.
pub const SHIP_BY: Millis = Millis::from_hours(72);
/// Time from delivery in which an issue may be opened.
pub const ISSUE_WINDOW: Millis = Millis::from_hours(48);
/// Longest issue window that an operator may set.
pub const ISSUE_WINDOW_MAX: Millis = Millis::from_hours(14 * 24);
/// Time without tracking after which staff looks at an order.
pub const UNSHIPPED_REVIEW: Millis = Millis::from_hours(7 * 24);
/// Time in transit after which staff looks at an order.
pub const TRANSIT_REVIEW: Millis = Millis::from_hours(7 * 24);
/// Time in transit after which a buyer may say that nothing came.
pub const TRANSIT_MAX: Millis = Millis::from_hours(14 * 24);
/// Silence of a carrier after which its source is asked.
pub const CARRIER_SILENCE: Millis = Millis::from_hours(4);
/// Events of a carrier that are kept per parcel.
pub const CARRIER_EVENTS_MAX: usize = 100;
/// Bytes of a carrier's id of an event.
pub const CARRIER_EVENT_ID_MAX: usize = 128;
/// Corrections of one parcel's number.
pub const TRACKING_CORRECTIONS_MAX: usize = 10;
/// Messages of one order.
pub const ORDER_MESSAGES_MAX: usize = 200;
/// Bytes of all messages of one order, sealed.
pub const ORDER_MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Characters of a message, an answer, a reason or the words of a review.
pub const ORDER_TEXT_MAX: usize = 10_000;
/// Characters of an address, as a JSON document.
pub const ADDRESS_TEXT_MAX: usize = 2_000;
/// Fewest characters of the description of an issue.
pub const ISSUE_TEXT_MIN: usize = 50;
/// Most characters of the description of an issue.
pub const ISSUE_TEXT_MAX: usize = 1_000;
/// Pieces of evidence of one issue.
pub const EVIDENCE_MAX: usize = 6;
/// Bytes of one picture that shows an issue.
pub const EVIDENCE_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Longest side of such a picture in pixels.
pub const EVIDENCE_SIDE_MAX: u32 = 16_384;
/// Pixels of such a picture.
pub const EVIDENCE_PIXELS_MAX: u64 = 50_000_000;
/// Bytes of a picture that an account sends of itself.
pub const AVATAR_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Longest side of it in pixels.
pub const AVATAR_SIDE_MAX: u32 = 2_048;
/// Pixels of it.
pub const AVATAR_PIXELS_MAX: u64 = 4_194_304;
/// Side of the square that everybody sees of it, in pixels.
pub const AVATAR_SIDE: u32 = 512;
/// Entries of the timeline of one issue.
pub const ISSUE_ENTRIES_MAX: usize = 100;
/// Time in which somebody of support takes an issue on.
pub const ISSUE_ASSIGN_WITHIN: Millis = Millis::from_hours(24);
/// Time in which a maker offers something, a party answers, and the case is looked at.
pub const ISSUE_ANSWER_WITHIN: Millis = Millis::from_hours(48);
/// Time after which a case that waits for an answer goes up.
pub const ISSUE_SILENCE_MAX: Millis = Millis::from_hours(72);
/// Age of an issue at which staff is warned.
pub const ISSUE_WARN: Millis = Millis::from_hours(3 * 24);
/// Business days after which an issue goes up whatever its stage.
pub const ISSUE_BUSINESS_DAYS: u32 = 5;
/// Time in which a replacement is shipped.
pub const REPLACEMENT_WITHIN: Millis = Millis::from_hours(7 * 24);
/// Time in which a decision may be appealed against.
pub const APPEAL_WITHIN: Millis = Millis::from_hours(7 * 24);
/// Time from delivery to completion without an issue.
pub const AUTO_COMPLETE: Millis = Millis::from_hours(7 * 24);
/// Age of a processed provider event after which its id is forgotten.
pub const PROVIDER_EVENT_MEMORY: Millis = Millis::from_hours(30 * 24);

/// Life of a transcode lease without a heartbeat.
pub const LEASE_LIFE: Millis = Millis::from_secs(60);
/// Attempts at one transcode job; one that a tool was killed in counts double.
pub const TRANSCODE_ATTEMPTS_MAX: u32 = 4;
/// Pause after the first failed attempt at a job; doubled by each further one.
pub const JOB_PAUSE: Millis = Millis::from_secs(15);
/// Longest such pause.
pub const JOB_PAUSE_MAX: Millis = Millis::from_mins(10);
/// Time that a job waits for a worker that has not failed at it, while one is known.
pub const JOB_OTHERS_FIRST: Millis = Millis::from_mins(5);
/// The same while none is known: one may be idle and ask.
pub const JOB_OTHERS_UNKNOWN: Millis = Millis::from_secs(10);
/// Time without a word after which a worker is not counted on.
pub const WORKER_KNOWN: Millis = Millis::from_mins(10);
/// A job that has waited for so long goes before all that came later.
pub const JOB_PATIENCE: Millis = Millis::from_hours(1);
/// What workers did for a maker counts half after this time.
pub const JOB_SHARE_HALF_LIFE: Millis = Millis::from_hours(1);
/// Bytes of what a tool wrote last that are kept of a failed attempt.
pub const JOB_DETAIL_MAX: usize = 1_000;
/// Revisions of one asset, after which its captions stay as they are.
pub const ASSET_REVISIONS_MAX: u32 = 1_000;
/// Life of a tus upload.
pub const UPLOAD_LIFE: Millis = Millis::from_hours(24);
/// Most bytes of one clip.
pub const CLIP_BYTES_MAX: u64 = 500 * 1024 * 1024;
/// Longest clip of a story.
pub const CLIP_DURATION_MAX: Millis = Millis::from_secs(420);

/// How long what is over stays in the state; bids.md section 4 names it as the least.
pub const ARCHIVE_AFTER: Millis = Millis::from_hours(90 * 24);
/// Sales that one Archive step looks at.
pub const ARCHIVE_STEP_MAX: usize = 256;
/// Life of a join token at most.
pub const JOIN_TOKEN_LIFE_MAX: Millis = Millis::from_hours(7 * 24);
/// Join tokens that are open at a time.
pub const JOIN_TOKENS_MAX: usize = 1_000;
/// Edges of a cluster.
pub const EDGES_MAX: usize = 1_000;

/// Bytes of a JSON request body.
pub const JSON_BODY_MAX: usize = 64 * 1024;
/// Bytes of a provider's webhook.
pub const WEBHOOK_BODY_MAX: usize = 1024 * 1024;
/// Bytes of one frame between daemons.
pub const FRAME_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one blob.
pub const BLOB_MAX: usize = 600 * 1024 * 1024;
/// Commands in one log entry.
pub const ENTRY_COMMANDS_MAX: usize = 4_096;
/// Journal entries in one uplink batch.
pub const BATCH_ENTRIES_MAX: usize = 512;
/// Commands that wait for a place in a log entry.
pub const PROPOSE_QUEUE_MAX: usize = 8_192;
/// Log indexes that a member keeps for the feed and live streams.
pub const FEED_BACKLOG_MAX: usize = 20_000;
/// Live streams at one edge.
pub const LIVE_STREAMS_MAX: usize = 10_000;
/// Entries that an edge's journal may hold without a verdict.
pub const JOURNAL_OPEN_MAX: usize = 100_000;
/// Items of one page of the feed.
pub const PAGE_MAX: usize = 50;
/// Rows of one page of any other list.
pub const PAGE_LONG_MAX: usize = 100;
/// Rows of one page when a client says nothing.
pub const PAGE_DEFAULT: usize = 20;

/// How far one advance moves the test clock of a sandbox at most.
pub const CLOCK_ADVANCE_MAX: Millis = Millis::from_hours(366 * 24);
/// Audit entries that stay in the state.
pub const AUDIT_KEEP_MAX: usize = 20_000;
/// Audit entries that leave in one step.
pub const AUDIT_STEP_MAX: usize = 1_000;
/// Versions of the settings that stay.
pub const POLICY_HISTORY_MAX: usize = 50;
/// Changes of one flag, and of one template, that stay.
pub const CHANGE_HISTORY_MAX: usize = 20;
/// Templates that are not the default ones.
pub const TEMPLATES_MAX: usize = 2_000;
/// Notices in one list.
pub const INBOX_MAX: usize = 200;
/// How long a notice stays in a list.
pub const NOTICE_MEMORY: Millis = Millis::from_hours(90 * 24);
/// Expired notices that leave the state with one entry.
pub const INBOX_STEP_MAX: usize = 256;
/// Accounts that are told by one entry of the log.
pub const FAN_OUT_CHUNK: usize = 100;
/// Watchers and the maker hear of an end when so much time is left.
pub const FINAL_WINDOW: Millis = Millis::from_mins(15);
/// How long a maker's notices of bids are gathered, and those of a close that moves.
pub const BID_NOTICE_PERIOD: Millis = Millis::from_mins(5);
/// Reports of lost journal entries that are kept of an edge.
pub const MISSING_KEPT_MAX: usize = 100;
/// A bid that is judged so long after its stamp is named in the auction's record.
pub const BID_DELAYED_AFTER: Millis = Millis::from_secs(2);
/// Devices of one account that take push messages.
pub const PUSH_DEVICES_MAX: usize = 10;
/// Push devices that were not seen for so long take nothing any more.
pub const PUSH_DEVICE_IDLE_MAX: Millis = Millis::from_hours(30 * 24);
/// Bytes of a push token.
pub const PUSH_TOKEN_MAX: usize = 4_096;
