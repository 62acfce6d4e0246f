//! The policy engine: it works out, once, what each role of a domain may do.

use std::collections::BTreeMap;

use casbin::{CoreApi as _, DefaultModel, Enforcer, MemoryAdapter, MgmtApi as _};

use crate::identity::permission::{Permission, Permissions};
use crate::store::StoreError;

/// Roles with domains. Only equal texts match: no pattern is among the matchers, so that no name can be one. Nothing is
/// allowed but by a policy.
const MODEL: &str = "
[request_definition]
r = sub, dom, act

[policy_definition]
p = sub, dom, act

[role_definition]
g = _, _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.act == p.act && r.dom == p.dom && g(r.sub, p.sub, r.dom)
";

/// What each role of a domain may do.
pub(super) type Table = BTreeMap<String, Permissions>;

/// What is said about the roles of a domain.
#[derive(Clone, Debug)]
pub(super) struct Policies {
    pub(super) domain: String,
    /// What each role may do by itself.
    pub(super) grants: Vec<(String, Permissions)>,
    /// Roles that may do whatever another one may.
    pub(super) inherits: Vec<(String, String)>,
}

/// Asks the engine about each role and each permission.
pub(super) async fn work_out(policies: Policies) -> Result<Table, StoreError> {
    let corrupt =
        |error: casbin::Error| StoreError::corrupt(format!("policies of `{}`", policies.domain), error);
    let mut table = Table::new();
    if policies.inherits.is_empty() {
        // Each role stands alone, and the engine reads all policies for each question: so it gets a role's own only.
        for grant in &policies.grants {
            let engine =
                enforcer(&policies.domain, std::slice::from_ref(grant), &[]).await.map_err(corrupt)?;
            table.insert(grant.0.clone(), allowed(&engine, &policies.domain, &grant.0).map_err(corrupt)?);
        }
        return Ok(table);
    }
    let engine = enforcer(&policies.domain, &policies.grants, &policies.inherits).await.map_err(corrupt)?;
    for (role, _) in &policies.grants {
        table.insert(role.clone(), allowed(&engine, &policies.domain, role).map_err(corrupt)?);
    }
    Ok(table)
}

async fn enforcer(
    domain: &str,
    grants: &[(String, Permissions)],
    inherits: &[(String, String)],
) -> casbin::Result<Enforcer> {
    let model = DefaultModel::from_str(MODEL).await?;
    let mut engine = Enforcer::new(model, MemoryAdapter::default()).await?;
    let rule = |name: &str, permission: Permission| {
        vec![role(name), domain.to_owned(), permission.name().to_owned()]
    };
    let rules = grants.iter().flat_map(|(name, permissions)| permissions.iter().map(|one| rule(name, one)));
    engine.add_policies(rules.collect()).await?;
    let links = |(name, other): &(String, String)| vec![role(name), role(other), domain.to_owned()];
    engine.add_grouping_policies(inherits.iter().map(links).collect()).await?;
    let holders = grants.iter().map(|(name, _)| vec![holder(name), role(name), domain.to_owned()]);
    engine.add_grouping_policies(holders.collect()).await?;
    Ok(engine)
}

fn allowed(engine: &Enforcer, domain: &str, name: &str) -> casbin::Result<Permissions> {
    let mut allowed = Permissions::NONE;
    for permission in Permission::ALL {
        if engine.enforce((holder(name), domain, permission.name()))? {
            allowed = allowed.with(permission);
        }
    }
    Ok(allowed)
}

/// A role, which nobody's name can be.
fn role(name: &str) -> String {
    format!("role:{name}")
}

/// Whoever has that role, which no role's name can be.
fn holder(name: &str) -> String {
    format!("as:{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Permissions = Permissions::NONE.with(Permission::UsageRead);

    async fn engine(grants: &[(&str, Permissions)]) -> Enforcer {
        let grants: Vec<_> = grants.iter().map(|(name, some)| ((*name).to_owned(), *some)).collect();
        enforcer("tenant:acme", &grants, &[]).await.unwrap()
    }

    #[tokio::test]
    async fn what_no_policy_allows_is_refused() {
        let none = engine(&[]).await;
        let some = engine(&[("auditor", READ)]).await;
        for engine in [&none, &some] {
            for (subject, domain, action) in [
                ("as:auditor", "tenant:other", "usage.read"),
                ("as:auditor", "tenant:acme", "usage.track"),
                ("as:auditor", "", ""),
                ("", "tenant:acme", "usage.read"),
                ("auditor", "tenant:acme", "usage.read"),
            ] {
                let asked = engine.enforce((subject, domain, action)).unwrap();
                assert!(!asked, "{subject} {domain} {action}");
            }
        }
        assert!(some.enforce(("as:auditor", "tenant:acme", "usage.read")).unwrap());
    }

    #[tokio::test]
    async fn no_name_is_a_pattern_and_no_holder_is_a_role() {
        let strange =
            ["*", ".*", "/*", "auditor|owner", "role:auditor", "as:auditor", "a(b", "[a-z]+", "/:id"];
        for name in strange {
            let engine = engine(&[(name, READ), ("auditor", READ)]).await;
            for other in
                ["owner", "as:auditor", "role:owner", "abc", "", "*x"].iter().filter(|one| **one != name)
            {
                let asked = (holder(other), "tenant:acme", "usage.read");
                assert!(!engine.enforce(asked).unwrap(), "`{name}` lets `{other}` in");
            }
            for domain in ["*", ".*", "tenant:*", "tenant:other", "tenant:acm", "tenant:acme/x"] {
                assert!(
                    !engine.enforce((holder(name), domain, "usage.read")).unwrap(),
                    "`{name}` in {domain}"
                );
            }
        }
    }
}
