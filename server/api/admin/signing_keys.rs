//! Signing keys as messages.

use tollgate_client::v1;

use crate::api::convert::time::to_message;
use crate::identity::signing_keys::{Duty, Published};

pub(super) fn signing_key(published: Published) -> v1::SigningKey {
    let listed = published.listed;
    let duty = match listed.duty {
        Duty::Announced => v1::SigningKeyDuty::Announced,
        Duty::Signing => v1::SigningKeyDuty::Signing,
        Duty::Verifying => v1::SigningKeyDuty::Verifying,
        // Those are not published.
        Duty::Ended => v1::SigningKeyDuty::Unspecified,
    };
    v1::SigningKey {
        id: listed.id,
        duty: duty.into(),
        announce_time: Some(to_message(listed.announced_at)),
        sign_time: listed.signs_from.map(to_message),
        end_time: listed.ends_at.map(to_message),
    }
}
