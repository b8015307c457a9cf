//! Devices of an account: which sign-ins are on one, how much it is trusted. Where push messages go is
//! the inbox's, by sign-in.

use fairground_types::command::RegisterDevice;
use fairground_types::limits::DEVICES_PER_USER_MAX;
use fairground_types::people::DevicePlatform;
use fairground_types::{
    Accepted, Code, DeviceId, NoticeKind, Rejection, SignInId, Timestamp, UserId,
};
use wincode::{SchemaRead, SchemaWrite};

use crate::Market;
use crate::apply::{Answer, Turn};
use crate::notice::about;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Device {
    pub(crate) device: DeviceId,
    pub(crate) platform: DevicePlatform,
    /// Hundredths of a percent.
    pub(crate) trust: u16,
    pub(crate) registered_at: Timestamp,
    pub(crate) seen_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Market {
    pub(crate) fn register_device(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        register: &RegisterDevice,
    ) -> Answer {
        let person = self.person(user)?;
        let is_theirs =
            self.accounts.sign_ins.get(&register.sign_in).is_some_and(|row| row.user == user);
        if !is_theirs {
            return Err(super::not_found());
        }
        let known = person.devices.get(&register.device);
        if known.is_some_and(|device| device.revoked_at.is_some()) {
            return Err(Rejection::new(Code::InvalidState, "the device was revoked"));
        }
        let is_new = known.is_none();
        let is_first = person.devices.is_empty();
        let device = Device {
            device: register.device,
            platform: register.platform,
            trust: register.signals.trust(),
            registered_at: known.map_or(turn.at, |device| device.registered_at),
            seen_at: turn.at,
            revoked_at: None,
        };
        if is_new && person.devices.len() >= DEVICES_PER_USER_MAX {
            self.forget_oldest_device(turn, user);
        }
        self.change_person(user, |person| {
            person.devices.insert(device.device, device);
        });
        if let Some(row) = self.accounts.sign_ins.get_mut(&register.sign_in) {
            row.device = Some(register.device);
        }
        if is_new && !is_first {
            self.notify(turn, about(user, NoticeKind::NewDevice));
        }
        Ok(Accepted::Done)
    }

    /// Makes room: a revoked device goes first, then the one not seen for longest.
    fn forget_oldest_device(&mut self, turn: &mut Turn, user: UserId) {
        let Ok(person) = self.person(user) else { return };
        let oldest = person
            .devices
            .values()
            .min_by_key(|device| (device.revoked_at.is_none(), device.seen_at, device.device))
            .map(|device| device.device);
        let Some(oldest) = oldest else { return };
        self.end_sign_ins_on(turn, user, oldest);
        self.change_person(user, |person| {
            person.devices.remove(&oldest);
        });
    }

    fn end_sign_ins_on(&mut self, turn: &mut Turn, user: UserId, device: DeviceId) {
        let Some(account) = self.accounts.account(user) else { return };
        let on_it: Vec<SignInId> = account
            .sign_ins
            .iter()
            .copied()
            .filter(|id| {
                self.accounts.sign_ins.get(id).is_some_and(|row| row.device == Some(device))
            })
            .collect();
        for sign_in in on_it {
            self.revoke_sign_in(turn, sign_in);
        }
    }

    pub(crate) fn revoke_device(
        &mut self,
        turn: &mut Turn,
        user: UserId,
        device: DeviceId,
    ) -> Answer {
        if !self.person(user)?.devices.contains_key(&device) {
            return Err(super::not_found());
        }
        let at = turn.at;
        self.change_person(user, |person| {
            if let Some(row) = person.devices.get_mut(&device) {
                row.revoked_at = row.revoked_at.or(Some(at));
            }
        });
        self.end_sign_ins_on(turn, user, device);
        Ok(Accepted::Done)
    }
}
