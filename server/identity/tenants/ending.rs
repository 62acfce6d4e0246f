//! The end of a tenant: deleted, taken back within the grace, and ended for good after it.

use crate::fault::Invalid;
use crate::identity::audit::note;
use crate::identity::tenant::{Deletion, END, Tenant};
use crate::identity::tenants::{Subscriber, Tenants, TenantsError, note_tenant};
use crate::store::changes::Subject;
use crate::store::records::{Change, Range};
use crate::store::{Order, StoreError};
use crate::time::DAY;

/// The longest grace, in days.
const GRACE_DAYS_MAX: u32 = 365;

impl Tenants {
    /// Refuses all calls of a tenant from the answer on; what is held on it ends after the grace.
    pub async fn delete(&self, id: &str, grace_days: u32) -> Result<Subscriber, TenantsError> {
        if grace_days > GRACE_DAYS_MAX {
            let description = format!("{grace_days} is not 0 to {GRACE_DAYS_MAX}");
            return Err(Invalid::field("grace_days", description).into());
        }
        let at = self.clock.now();
        let ends_at = at.plus(i64::from(grace_days).saturating_mul(DAY));
        // The grace that was given first stays: deleting twice changes nothing.
        self.set_deletion(id, |tenant| {
            tenant.deletion.get_or_insert(Deletion { at, ends_at, is_done: false });
            Ok(())
        })
        .await
    }

    /// Takes a deletion back: the tenant is as it was before.
    pub async fn undelete(&self, id: &str) -> Result<Subscriber, TenantsError> {
        let now = self.clock.now();
        self.set_deletion(id, |tenant| {
            if tenant.deletion.is_some_and(|deletion| deletion.is_done || deletion.ends_at <= now) {
                return Err(TenantsError::Ended(tenant.id.clone()));
            }
            tenant.deletion = None;
            Ok(())
        })
        .await
    }

    /// Some deleted tenants whose grace is over, and on whom something is held still.
    pub async fn due_to_end(&self, limit: usize) -> Result<Vec<Tenant>, StoreError> {
        let now = self.clock.now();
        let range = Range { index: END, prefix: "", order: Order::Ascending, after: None };
        let page = self.tenants.page(range, limit).await?;
        let is_due = |tenant: &Tenant| tenant.deletion.is_some_and(|deletion| deletion.ends_at <= now);
        Ok(page.records.into_iter().filter(is_due).collect())
    }

    /// Says that nothing is held on a tenant any more but what it used and paid, under its id.
    pub async fn ended(&self, id: &str) -> Result<(), StoreError> {
        let ended = self.tenants.update(id, |tenant: &mut Tenant| {
            let Some(deletion) = &mut tenant.deletion else { return Ok(Change::None) };
            deletion.is_done = true;
            tenant.name.clear();
            tenant.suspend_reason.clear();
            Ok::<_, StoreError>(Change::Keep)
        });
        ended.await.map(|_| ())
    }

    async fn set_deletion(
        &self,
        id: &str,
        mut change: impl FnMut(&mut Tenant) -> Result<(), TenantsError> + Send,
    ) -> Result<Subscriber, TenantsError> {
        let changing = self.tenants.update(id, |tenant: &mut Tenant| {
            let before = tenant.deletion;
            note::before(tenant);
            change(tenant)?;
            Ok::<_, TenantsError>(if tenant.deletion == before { Change::None } else { Change::Keep })
        });
        let changed = self.teller.tell(Subject::TenantEnd(id.to_owned()), changing).await;
        // Also after a failure: the change may have been kept all the same.
        self.directory.forget(id);
        if let Some(keyring) = &self.keyring {
            keyring.forget_all();
        }
        let tenant = changed?.ok_or_else(|| TenantsError::NotFound(id.to_owned()))?;
        note_tenant(&tenant.id);
        note::after(&tenant);
        self.with_subscription(tenant).await
    }
}
