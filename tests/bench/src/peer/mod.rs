//! What a shop would use instead, with the same durability on the same disk.
//!
//! | | |
//! | --- | --- |
//! | `postgres` | the locking transaction; the servers for the front, alone or with a standby |
//! | `front` | a process of ours: HTTPS, one writer, all waiting bids in one statement |
//! | `redis` | a Lua script, every write synced |
//! | `etcd` | three nodes: puts, and compare-and-swap |
//!
//! Each is started for its turn and stopped by its pid afterwards.

pub(crate) mod etcd;
pub(crate) mod front;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod redis;
