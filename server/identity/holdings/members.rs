//! The members of a tenant, each with the person. A person ends with the last membership.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::identity::departures::Departures;
use crate::identity::holdings::{Holding, OF_PEOPLE, Part, of, page_of, shown};
use crate::identity::member::{Member, TENANT, USER};
use crate::identity::user::User;
use crate::store::records::{Place, Record as _, Records};
use crate::store::{Documents, StoreError};

/// The members of a tenant.
#[derive(Debug)]
pub(super) struct Members {
    members: Records<Member>,
    users: Records<User>,
    departures: Arc<Departures>,
}

impl Members {
    pub(super) fn new(documents: &Arc<dyn Documents>, departures: Arc<Departures>) -> Self {
        Self { members: of(documents), users: of(documents), departures }
    }
}

#[async_trait]
impl Holding for Members {
    fn kind(&self) -> &'static str {
        Member::KIND
    }

    async fn some(&self, tenant: &str, after: Option<&Place>) -> Result<Part, StoreError> {
        let page = page_of(&self.members, TENANT, &Member::prefix(tenant), after).await?;
        let ids: Vec<_> = page.records.iter().map(|member| member.user.clone()).collect();
        let users = self.users.get_many(&ids).await?;
        let mut records = Vec::with_capacity(page.records.len());
        for (member, user) in page.records.iter().zip(users) {
            let mut record = shown(Member::KIND, member, &[])?;
            if let (Value::Object(fields), Some(user)) = (&mut record, user) {
                let person = shown(User::KIND, &user.record, OF_PEOPLE)?;
                fields.insert(String::from("person"), person);
            }
            records.push(record);
        }
        Ok(Part { records, next: page.next })
    }

    async fn remove(&self, tenant: &str) -> Result<usize, StoreError> {
        let page = page_of(&self.members, TENANT, &Member::prefix(tenant), None).await?;
        for member in &page.records {
            let all = page_of(&self.members, USER, &Member::prefix(&member.user), None).await?;
            // The person first: a membership that is left leads back to it.
            if all.records.iter().all(|other| other.tenant == tenant)
                && let Some(user) = self.users.get(&member.user).await?
            {
                self.departures.forget(&user.record).await?;
            }
            self.members.remove(member.id()).await?;
        }
        Ok(page.records.len())
    }
}
