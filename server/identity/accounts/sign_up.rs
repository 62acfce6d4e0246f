//! Signing up: an account, its tenant, and who owns it.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::fault::Invalid;
use crate::id;
use crate::identity::accounts::errand::{Errand, Wish};
use crate::identity::accounts::errands::Asked;
use crate::identity::accounts::{Accounts, AccountsError, address};
use crate::identity::codes::Purpose;
use crate::identity::members::By;
use crate::identity::password::Password;
use crate::identity::requests::check_id;
use crate::identity::roles::OWNER;
use crate::identity::tenants::NewTenant;
use crate::identity::user::User;
use crate::identity::users::{Making, NewUser};
use crate::mail::address::Address;
use crate::mail::letter::Subject;
use crate::plans::bounds::is_name;
use crate::secrets::seal::to_hex;

/// Whether anybody may sign up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignUp {
    /// Anybody may.
    #[default]
    Open,
    /// Only who is invited comes in.
    Closed,
}

/// Somebody who signs up.
#[derive(Debug)]
pub struct SigningUp<'a> {
    /// The address.
    pub address: &'a str,
    /// The password.
    pub password: SecretString,
    /// The person's name.
    pub name: &'a str,
    /// The name of the tenant; empty: the person's.
    pub tenant_name: &'a str,
    /// The slug or id of the plan; empty: that of new tenants.
    pub plan: &'a str,
    /// What makes a retry the same sign-up; may be empty.
    pub request_id: &'a str,
}

impl Accounts {
    /// Takes a sign-up; answers the slug of the plan that waits for a payment, which may be empty. The account is made behind
    /// the answer, or whoever has the address is told: the answer and its time are the same.
    pub async fn sign_up(&self, new: SigningUp<'_>) -> Result<String, AccountsError> {
        if self.beside.sign_up == SignUp::Closed {
            return Err(AccountsError::Closed);
        }
        let address = address(new.address)?;
        check_id(new.request_id)?;
        let tenant_name = if new.tenant_name.is_empty() { new.name } else { new.tenant_name };
        for (field, name) in [("name", new.name), ("tenant_name", tenant_name)] {
            if !is_name(name) {
                let description = "must have 1 to 128 characters, none of them a control character";
                return Err(Invalid::field(field, description).into());
            }
        }
        let password = Password::choose(&new.password, &[new.address, new.name])?;
        let pending_plan = self.pending(new.plan).await?;
        let password = self.beside.hasher.hash(password).await?;
        let id = self.sign_up_id(&address, new.request_id);
        let content = serde_json::json!([new.name, tenant_name, new.plan]).to_string();
        let content = to_hex(&self.seal.digest(&[b"sign_up/", content.as_bytes()]));
        let (name, tenant_name) = (new.name.to_owned(), tenant_name.to_owned());
        let pending = pending_plan.clone();
        let wish =
            Wish::SignUp { address: address.clone(), name, password, tenant_name, pending_plan: pending };
        match self.ask(id, &address, content, wish).await? {
            Asked::Kept => Ok(pending_plan),
            Asked::Otherwise => Err(AccountsError::Conflict(new.request_id.to_owned())),
        }
    }

    /// The slug of a plan that nobody gets for the asking: every one but that of new tenants.
    async fn pending(&self, plan: &str) -> Result<String, AccountsError> {
        if plan.is_empty() {
            return Ok(String::new());
        }
        let (plan, _) = self.beside.catalogue.offered(plan).await?;
        let is_given = plan.slug == self.beside.tenants.default_plan();
        Ok(if is_given { String::new() } else { plan.slug })
    }

    fn sign_up_id(&self, address: &Address, request_id: &str) -> String {
        if request_id.is_empty() {
            return id::fresh("ern");
        }
        let key = address.key();
        // Neither has a zero byte.
        to_hex(&self.seal.digest(&[b"request/", key.as_bytes(), b"\0", request_id.as_bytes()]))
    }

    /// Each step makes the same thing again, and the letter is the last: whoever has it has everything.
    pub(super) async fn make_account(
        &self,
        errand: &Errand,
        (address, name, password): (&Address, &str, &str),
        tenant_name: &str,
        pending_plan: &str,
    ) -> Result<(), AccountsError> {
        let (seed, name, password) = (errand.seed, name.to_owned(), password.to_owned());
        let new = NewUser { seed, address: address.clone(), name, password, confirmed_at: None };
        let user = match self.users.create(new).await? {
            Making::Made(user) | Making::MadeBefore(user) => user,
            Making::AddressTaken => return self.tell_owner(errand, address).await,
        };
        let new = NewTenant {
            seed,
            id: String::new(),
            name: tenant_name.to_owned(),
            plan: String::new(),
            time_zone: String::new(),
        };
        let tenant = self.beside.tenants.create(new).await?.tenant;
        if !pending_plan.is_empty() {
            self.beside.tenants.wait_for(&tenant.id, pending_plan).await?;
        }
        self.beside.members.join(By::Decided, &tenant.id, &user.id, OWNER).await?;
        self.confirmation(errand, &user).await
    }

    /// Tells whoever has an address that somebody wanted to sign up with it. Who has never confirmed it is sent the code. Who
    /// was deleted is told nothing: the address is free when the account has ended.
    async fn tell_owner(&self, errand: &Errand, address: &Address) -> Result<(), AccountsError> {
        let Some(user) = self.users.reachable(address).await? else { return Ok(()) };
        if !self.may_write(errand).await? {
            return Ok(());
        }
        if user.confirmed_at.is_none() {
            return self.confirmation(errand, &user).await;
        }
        Ok(self.tell(&errand.letter(), &user, Subject::AccountExists).await?)
    }

    /// Sends the code that confirms an address.
    pub(super) async fn confirmation(&self, errand: &Errand, user: &User) -> Result<(), AccountsError> {
        let detail = self.whom(&user.address);
        let code = self.codes.make(Purpose::ConfirmAddress, errand.seed, &user.id, &detail).await?;
        let subject = Subject::ConfirmAddress { code: code.text, until: code.until };
        Ok(self.tell(&errand.letter(), user, subject).await?)
    }
}
