//! Credits that somebody gives: the request within its bounds, and the answer.

use tollgate_client::v1;

use crate::api::convert::time::from_message;
use crate::api::convert::time::to_message;
use crate::api::convert::wallet;
use crate::fault::{Invalid, Violation};
use crate::identity::requests::check_id;
use crate::ledger::wallets::{Granted, NewGrant};
use crate::money::MICROS_MAX;
use crate::time::Timestamp;

const PRIORITY_DEFAULT: u8 = 100;
const NAME_CHARACTERS_MAX: usize = 128;

/// The grant that is asked for, within its bounds.
pub(super) fn new_grant(request: &v1::GrantCreditsRequest, now: Timestamp) -> Result<NewGrant, Invalid> {
    let mut found = Vec::new();
    let mut wrong = |field: &str, description: String| {
        found.push(Violation { field: field.to_owned(), description });
    };
    if request.tenant_id.is_empty() {
        wrong("tenant_id", String::from("is required"));
    }
    if !(1..=MICROS_MAX).contains(&request.credits_micros) {
        wrong("credits_micros", format!("{} is not 1 to {MICROS_MAX}", request.credits_micros));
    }
    let priority = match u8::try_from(request.priority) {
        Ok(0) => PRIORITY_DEFAULT,
        Ok(priority) => priority,
        Err(_) => {
            wrong("priority", format!("{} is not 1 to 255", request.priority));
            PRIORITY_DEFAULT
        }
    };
    if request.name.chars().count() > NAME_CHARACTERS_MAX || request.name.chars().any(char::is_control) {
        wrong(
            "name",
            format!("must have at most {NAME_CHARACTERS_MAX} characters, none of them a control character"),
        );
    }
    if request.request_id.is_empty() {
        wrong("request_id", String::from("is required"));
    } else if let Err(Invalid(violations)) = check_id(&request.request_id) {
        found.extend(violations);
    }
    let expires_at = match request.expire_time.map(|moment| from_message("expire_time", moment)).transpose() {
        Ok(expires_at) => expires_at,
        Err(Invalid(violations)) => {
            found.extend(violations);
            None
        }
    };
    if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at <= now) {
        let description = format!("{expires_at} is not in the future");
        found.push(Violation { field: String::from("expire_time"), description });
    }
    if !found.is_empty() {
        return Err(Invalid(found));
    }
    let (request_id, name) = (request.request_id.clone(), request.name.clone());
    Ok(NewGrant { request_id, micros: request.credits_micros, priority, expires_at, name })
}

/// The answer. A grant that is used up is in the account no more, so it is told as it was given.
pub(super) fn response(tenant: &str, given: &NewGrant, granted: &Granted) -> v1::GrantCreditsResponse {
    let grant = granted.account.grant(&granted.id).map_or_else(
        || v1::Grant {
            id: granted.id.clone(),
            credits_micros: given.micros,
            priority: given.priority.into(),
            expire_time: given.expires_at.map(to_message),
            name: given.name.clone(),
            ..v1::Grant::default()
        },
        wallet::grant,
    );
    let wallet = Some(wallet::wallet(tenant, &granted.account));
    v1::GrantCreditsResponse { grant: Some(grant), wallet, replayed: granted.replayed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::GrantCreditsRequest {
        v1::GrantCreditsRequest {
            tenant_id: String::from("acme"),
            credits_micros: 1,
            request_id: String::from("r1"),
            ..v1::GrantCreditsRequest::default()
        }
    }

    #[test]
    fn each_bound_of_a_grant_is_held() {
        let now = Timestamp::from_micros(1_000_000);
        let moment = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let text = |text: &str| text.to_owned();
        let cases = [
            (v1::GrantCreditsRequest { tenant_id: text(""), ..request() }, "tenant_id"),
            (v1::GrantCreditsRequest { credits_micros: 0, ..request() }, "credits_micros"),
            (v1::GrantCreditsRequest { credits_micros: -1, ..request() }, "credits_micros"),
            (v1::GrantCreditsRequest { credits_micros: MICROS_MAX + 1, ..request() }, "credits_micros"),
            (v1::GrantCreditsRequest { priority: -1, ..request() }, "priority"),
            (v1::GrantCreditsRequest { priority: 256, ..request() }, "priority"),
            (v1::GrantCreditsRequest { name: "n".repeat(129), ..request() }, "name"),
            (v1::GrantCreditsRequest { request_id: text(""), ..request() }, "request_id"),
            (v1::GrantCreditsRequest { request_id: text("a b"), ..request() }, "request_id"),
            (v1::GrantCreditsRequest { expire_time: moment(1), ..request() }, "expire_time"),
            (v1::GrantCreditsRequest { expire_time: moment(i64::MAX), ..request() }, "expire_time"),
        ];
        for (request, field) in cases {
            assert_eq!(new_grant(&request, now).unwrap_err().0[0].field, field, "{request:?}");
        }
        let good =
            v1::GrantCreditsRequest { expire_time: moment(2), credits_micros: MICROS_MAX, ..request() };
        let grant = new_grant(&good, now).unwrap();
        assert_eq!((grant.priority, grant.expires_at), (100, Some(Timestamp::from_micros(2_000_000))));
    }
}
