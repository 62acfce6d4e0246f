//! Confirming an address, and moving an account to another one.

use secrecy::SecretString;

use crate::id;
use crate::identity::accounts::errand::{Errand, Wish};
use crate::identity::accounts::{Accounts, AccountsError, address};
use crate::identity::audit::note;
use crate::identity::caller::Caller;
use crate::identity::codes::Purpose;
use crate::identity::user::User;
use crate::identity::users::Moving;
use crate::mail::address::Address;
use crate::mail::letter::{Letter, Subject};
use crate::store::records::Change;

impl Accounts {
    /// Confirms the address of an account with a code. It takes the account's password too: whoever signs up with an address
    /// that is another's gains nothing when that other uses the code.
    pub async fn confirm(&self, code: &str, password: &SecretString) -> Result<(), AccountsError> {
        let meaning = self.codes.look(Purpose::ConfirmAddress, code).await?;
        let meaning = meaning.ok_or(AccountsError::CodeInvalid)?;
        let user = self.users.get(&meaning.subject).await?.filter(|user| user.deletion.is_none());
        let user = user.ok_or(AccountsError::CodeInvalid)?;
        if !self.is_password_of(&user, password).await? {
            return Err(AccountsError::PasswordWrong);
        }
        let now = self.clock.now();
        let confirmed = self.users.update(&meaning.subject, |user: &mut User| {
            if self.whom(&user.address) != meaning.detail {
                return Err(AccountsError::CodeInvalid);
            }
            let was_confirmed = user.confirmed_at.is_some();
            user.confirmed_at.get_or_insert(now);
            Ok(if was_confirmed { Change::None } else { Change::Keep })
        });
        let user = confirmed.await?.ok_or(AccountsError::CodeInvalid)?;
        note::target("user", &user.id);
        // Last, so that whoever ended half way can do it again.
        if self.codes.finish(&meaning).await? { Ok(()) } else { Err(AccountsError::CodeInvalid) }
    }

    /// Takes the wish for another letter with the code. If an account waits for it, it is sent.
    pub async fn resend_confirmation(&self, text: &str) -> Result<(), AccountsError> {
        let address = address(text)?;
        let wish = Wish::Confirm { address: address.clone() };
        self.ask(id::fresh("ern"), &address, String::new(), wish).await?;
        Ok(())
    }

    pub(super) async fn send_confirmation(
        &self,
        errand: &Errand,
        address: &Address,
    ) -> Result<(), AccountsError> {
        let waiting = self.users.reachable(address).await?.filter(|user| user.confirmed_at.is_none());
        let Some(user) = waiting else { return Ok(()) };
        if self.may_write(errand).await? { self.confirmation(errand, &user).await } else { Ok(()) }
    }

    /// Takes the wish of a person for another address. A code is sent there; if somebody has it already, they are told.
    pub async fn request_address(
        &self,
        caller: &Caller,
        password: &SecretString,
        text: &str,
    ) -> Result<(), AccountsError> {
        let address = address(text)?;
        let user = self.proven(caller, password).await?;
        note::target("user", &user.id);
        let stamp = self.stamp(&user);
        let wish = Wish::ChangeAddress { user: user.id, stamp, address: address.clone() };
        self.ask(id::fresh("ern"), &address, String::new(), wish).await?;
        Ok(())
    }

    pub(super) async fn send_change(
        &self,
        errand: &Errand,
        id: &str,
        stamp: &str,
        address: &Address,
    ) -> Result<(), AccountsError> {
        let still = self.users.get(id).await?;
        let still = still.filter(|user| self.stamp(user) == stamp && user.deletion.is_none());
        let Some(user) = still else { return Ok(()) };
        if !self.may_write(errand).await? {
            return Ok(());
        }
        let other = self.users.with_address(address).await?.filter(|other| other.id != user.id);
        match other {
            // Nobody is to be found there, and the address is not free either.
            Some(other) if other.deletion.is_some() => return Ok(()),
            Some(other) => return Ok(self.tell(&errand.letter(), &other, Subject::AccountExists).await?),
            None => {}
        }
        // A digest has no `/`.
        let detail = format!("{stamp}/{}", address.as_str());
        let code = self.codes.make(Purpose::ChangeAddress, errand.seed, &user.id, &detail).await?;
        let subject = Subject::ChangeAddress { code: code.text, until: code.until };
        let letter = Letter { to: address.clone(), name: user.name, subject };
        Ok(self.outbox.post(&errand.letter(), letter).await?)
    }

    /// Moves an account to the address that a code was sent to. The old address is told.
    pub async fn confirm_change(&self, code: &str) -> Result<(), AccountsError> {
        let meaning = self.codes.look(Purpose::ChangeAddress, code).await?;
        let meaning = meaning.ok_or(AccountsError::CodeInvalid)?;
        let (stamp, text) = meaning.detail.split_once('/').ok_or(AccountsError::CodeInvalid)?;
        let address = address(text)?;
        // The stamp changes with the address: of two who use the code at once, the second finds another one.
        let still = |user: &User| self.stamp(user) == stamp && user.deletion.is_none();
        let moved = self.users.move_to(&meaning.subject, &address, still);
        let from = match moved.await? {
            Moving::Moved { from } => from,
            Moving::AddressTaken => return Err(AccountsError::AddressTaken),
            Moving::Otherwise => return Err(AccountsError::CodeInvalid),
        };
        note::target("user", &from.id);
        let at = self.clock.now();
        self.tell(&id::fresh("address"), &from, Subject::AddressChanged { at }).await?;
        self.codes.finish(&meaning).await?;
        Ok(())
    }
}
