//! Setting up a second factor, and taking it away.

use secrecy::SecretString;

use crate::id;
use crate::identity::accounts::{Accounts, AccountsError};
use crate::identity::audit::note;
use crate::identity::caller::Caller;
use crate::identity::second_factor::{SecondFactors, Setup};
use crate::identity::user::User;
use crate::mail::letter::Subject;
use crate::store::records::Change;

impl Accounts {
    /// Second factors, for whoever lets people in.
    #[must_use]
    pub const fn second_factors(&self) -> &SecondFactors {
        &self.second_factors
    }

    /// Begins to set up a second factor; one that was begun before and never confirmed is forgotten.
    pub async fn begin_second_factor(
        &self,
        caller: &Caller,
        password: &SecretString,
    ) -> Result<Setup, AccountsError> {
        let user = self.proven(caller, password).await?;
        note::target("user", &user.id);
        let (factor, setup) = self.second_factors.fresh(&user.address);
        let begun = self.users.update(&user.id, |user: &mut User| {
            if is_confirmed(user) {
                return Err(AccountsError::SecondFactorSet);
            }
            user.second_factor = Some(factor.clone());
            Ok(Change::Keep)
        });
        begun.await?.ok_or(AccountsError::PersonRequired)?;
        Ok(setup)
    }

    /// Shows a first code: from now on one is needed. Answers the recovery codes, this once.
    pub async fn confirm_second_factor(
        &self,
        caller: &Caller,
        code: &str,
    ) -> Result<Vec<SecretString>, AccountsError> {
        let id = caller.user().ok_or(AccountsError::PersonRequired)?;
        note::target("user", id);
        let (shown, kept) = self.second_factors.recovery();
        let now = self.clock.now();
        let confirmed = self.users.update(id, |user: &mut User| {
            let factor = user.second_factor.as_mut().ok_or(AccountsError::SecondFactorMissing)?;
            if factor.confirmed_at.is_some() {
                return Err(AccountsError::SecondFactorSet);
            }
            if !self.second_factors.spend(factor, code, now) {
                return Err(AccountsError::CodeInvalid);
            }
            factor.confirmed_at = Some(now);
            factor.recovery.clone_from(&kept);
            Ok(Change::Keep)
        });
        let user = confirmed.await?.ok_or(AccountsError::PersonRequired)?;
        self.tell(&id::fresh("factor"), &user, Subject::SecondFactor { is_on: true, at: now }).await?;
        Ok(shown)
    }

    /// Takes a second factor away, with the password and a last code.
    pub async fn remove_second_factor(
        &self,
        caller: &Caller,
        password: &SecretString,
        code: &str,
    ) -> Result<(), AccountsError> {
        let user = self.proven(caller, password).await?;
        note::target("user", &user.id);
        let now = self.clock.now();
        let removed = self.users.update(&user.id, |user: &mut User| {
            let factor = user.second_factor.as_mut().filter(|factor| factor.confirmed_at.is_some());
            let factor = factor.ok_or(AccountsError::SecondFactorMissing)?;
            if !self.second_factors.spend(factor, code, now) {
                return Err(AccountsError::CodeInvalid);
            }
            user.second_factor = None;
            Ok(Change::Keep)
        });
        let user = removed.await?.ok_or(AccountsError::PersonRequired)?;
        Ok(self.tell(&id::fresh("factor"), &user, Subject::SecondFactor { is_on: false, at: now }).await?)
    }
}

fn is_confirmed(user: &User) -> bool {
    user.second_factor.as_ref().is_some_and(|factor| factor.confirmed_at.is_some())
}
