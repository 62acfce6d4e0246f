//! A new password for whoever can read the account's mail.

use secrecy::SecretString;

use crate::id;
use crate::identity::accounts::errand::{Errand, Wish};
use crate::identity::accounts::{Accounts, AccountsError, address};
use crate::identity::audit::note;
use crate::identity::codes::Purpose;
use crate::identity::password::Password;
use crate::identity::user::User;
use crate::mail::address::Address;
use crate::mail::letter::Subject;
use crate::store::records::Change;

impl Accounts {
    /// Takes the wish for a new password. If an account has the address, a code is sent there.
    pub async fn request_reset(&self, text: &str) -> Result<(), AccountsError> {
        let address = address(text)?;
        let wish = Wish::Reset { address: address.clone() };
        self.ask(id::fresh("ern"), &address, String::new(), wish).await?;
        Ok(())
    }

    pub(super) async fn send_reset(&self, errand: &Errand, address: &Address) -> Result<(), AccountsError> {
        let Some(user) = self.users.reachable(address).await? else { return Ok(()) };
        if !self.may_write(errand).await? {
            return Ok(());
        }
        let stamp = self.stamp(&user);
        let code = self.codes.make(Purpose::ResetPassword, errand.seed, &user.id, &stamp).await?;
        let subject = Subject::ResetPassword { code: code.text, until: code.until };
        Ok(self.tell(&errand.letter(), &user, subject).await?)
    }

    /// Chooses a new password with a code. It also confirms the address, since the code went there. Every other code that was
    /// made for the old password is not good any more. A password that cannot be chosen leaves the code as it was.
    pub async fn reset(&self, code: &str, new: &SecretString) -> Result<User, AccountsError> {
        let meaning = self.codes.look(Purpose::ResetPassword, code).await?;
        let meaning = meaning.ok_or(AccountsError::CodeInvalid)?;
        let user = self.users.get(&meaning.subject).await?;
        let user = user.filter(|user| self.stamp(user) == meaning.detail && user.deletion.is_none());
        let user = user.ok_or(AccountsError::CodeInvalid)?;
        let password = Password::choose(new, &[user.address.as_str(), &user.name])?;
        let password = self.beside.hasher.hash(password).await?;
        // Used up before the change: of two who choose at once, only one does.
        if !self.codes.finish(&meaning).await? {
            return Err(AccountsError::CodeInvalid);
        }
        let now = self.clock.now();
        let changed = self.users.update(&user.id, |user: &mut User| {
            if self.stamp(user) != meaning.detail || user.deletion.is_some() {
                return Err(AccountsError::CodeInvalid);
            }
            user.password.clone_from(&password);
            user.password_at = now;
            user.confirmed_at.get_or_insert(now);
            Ok(Change::Keep)
        });
        let user = changed.await?.ok_or(AccountsError::CodeInvalid)?;
        note::target("user", &user.id);
        self.tell(&id::fresh("password"), &user, Subject::PasswordChanged { at: now }).await?;
        Ok(user)
    }
}
