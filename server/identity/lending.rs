//! Service tokens: somebody lends a part of what it may do, for an hour at most.

use secrecy::SecretString;

use crate::fault::{Fault, Invalid, Reason, Violation};
use crate::identity::caller::Caller;
use crate::identity::permission::{Permission, Permissions};
use crate::identity::token::{Service, Tokens, TokensError};
use crate::time::{HOUR, MINUTE, SECOND, Timestamp};

/// How long a token is good where nobody says.
pub const LIFETIME: i64 = 10 * MINUTE;
const LIFETIME_MAX: i64 = HOUR;

/// Makes service tokens.
#[derive(Debug)]
pub struct Lender {
    tokens: Tokens,
}

/// A service token.
#[derive(Debug)]
pub struct Lent {
    /// The token.
    pub token: SecretString,
    /// The first moment at which it is not good any more.
    pub expires_at: Timestamp,
}

/// Why nothing can be lent.
#[derive(Debug, thiserror::Error)]
pub enum LendingError {
    /// The caller has neither a session nor a key that the token would end with.
    #[error("this credential lends nothing: log in, or use an API key")]
    NoParent,
    /// A field is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No token could be made.
    #[error(transparent)]
    Tokens(#[from] TokensError),
}

impl Fault for LendingError {
    fn reason(&self) -> Reason {
        match self {
            Self::NoParent => Reason::SessionRequired,
            Self::Invalid(invalid) => invalid.reason(),
            Self::Tokens(error) => error.reason(),
        }
    }

    fn origin(&self) -> Option<&dyn Fault> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            _ => None,
        }
    }
}

impl Lender {
    /// Lends by those tokens.
    #[must_use]
    pub const fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }

    /// Lends those permissions of a caller for `life` microseconds. It ends with the session or the key of the caller.
    pub fn lend(&self, caller: &Caller, permissions: &[String], life: i64) -> Result<Lent, LendingError> {
        let parent = caller.session.as_ref().or(caller.key_id.as_ref()).ok_or(LendingError::NoParent)?;
        let permissions = check(caller, permissions, life)?;
        let claims = self.tokens.service_claims(Service { parent, tenant: None, permissions, life });
        Ok(Lent { token: self.tokens.issue_service(&claims)?, expires_at: claims.expires_at })
    }
}

fn check(caller: &Caller, names: &[String], lifetime: i64) -> Result<Permissions, Invalid> {
    let mut found = Vec::new();
    let mut wrong = |field: String, description: String| found.push(Violation { field, description });
    if !(SECOND..=LIFETIME_MAX).contains(&lifetime) || lifetime % SECOND != 0 {
        wrong(String::from("lifetime"), String::from("is not of whole seconds, from one to an hour"));
    }
    if names.is_empty() {
        wrong(String::from("permissions"), String::from("are required"));
    }
    let mut permissions = Permissions::NONE;
    // What these make lives on after the token and whoever lent it.
    let lasting =
        [Permission::TokensWrite, Permission::KeysWrite, Permission::MembersWrite, Permission::RolesWrite];
    let lendable = lasting.into_iter().fold(caller.permissions, Permissions::without);
    for (place, name) in names.iter().enumerate() {
        match Permission::named(name) {
            Some(permission) if lendable.has(permission) => permissions = permissions.with(permission),
            Some(_) => {
                wrong(format!("permissions[{place}]"), format!("`{name}` is more than the caller may lend"));
            }
            None => wrong(format!("permissions[{place}]"), format!("there is no permission `{name}`")),
        }
    }
    if found.is_empty() { Ok(permissions) } else { Err(Invalid(found)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::caller::CallerKind;

    fn check_names(names: &[&str], lifetime: i64, expected: Result<&str, &str>) {
        let caller = Caller {
            kind: CallerKind::Tenant("acme".into()),
            key_id: None,
            session: None,
            permissions: Permissions::TENANT.with(Permission::TokensWrite),
            restrictions: None,
            is_outside: false,
        };
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let found = check(&caller, &names, lifetime);
        let found = found.map(|permissions| permissions.names().join(" "));
        let found = found
            .map_err(|invalid| invalid.0.into_iter().map(|wrong| wrong.field).collect::<Vec<_>>().join(" "));
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn some_of_ones_own_is_lent_and_never_the_lending() {
        check_names(&["usage.read", "usage.track"], HOUR, Ok("usage.read usage.track"));
        check_names(&["usage.read"], SECOND, Ok("usage.read"));
        check_names(&["tokens.write"], HOUR, Err("permissions[0]"));
        check_names(&["usage.read", "plans.write", "world.rule"], HOUR, Err("permissions[1] permissions[2]"));
        check_names(&[], HOUR + SECOND, Err("lifetime permissions"));
        check_names(&["usage.read"], 0, Err("lifetime"));
        check_names(&["usage.read"], -SECOND, Err("lifetime"));
        check_names(&["usage.read"], SECOND + 1, Err("lifetime"));
    }
}
