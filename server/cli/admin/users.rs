//! `tollgate admin users`: the people who can log in.

use tollgate_client::{Client, v1};

use crate::cli::admin::show::{Rows, moment};
use crate::cli::admin::{AdminError, Format};

/// How many people are asked for at once.
const PAGE: i32 = 1_000;

/// What to do with people.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum UsersCommand {
    /// List people, oldest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show one person.
    Get {
        /// The person's id, or the address of their mail.
        user: String,
    },
    /// End all sessions of a person, and let them open none until they are resumed.
    Suspend {
        /// The person's id.
        user: String,
    },
    /// Let a suspended person log in again.
    Resume {
        /// The person's id.
        user: String,
    },
    /// End a person. It can be taken back until the grace is over.
    Delete {
        /// The person's id, or the address of their mail.
        user: String,
        /// How many days it can be taken back [default: 30].
        #[arg(long)]
        grace_days: Option<i32>,
    },
    /// Take a deletion back.
    Undelete {
        /// The person's id, or the address of their mail.
        user: String,
    },
    /// Let a person try again at once who had too many wrong passwords.
    Unlock {
        /// The person's id.
        user: String,
    },
}

/// Does it.
pub(super) async fn run(client: &Client, command: UsersCommand, format: Format) -> Result<(), AdminError> {
    let mut admin = client.admin();
    let user = match command {
        UsersCommand::List { limit } => return list(client, limit, format).await,
        UsersCommand::Get { user } => admin.get_user(whom(user)).await?.into_inner().user,
        UsersCommand::Suspend { user } => {
            admin.suspend_user(v1::SuspendUserRequest { user_id: user }).await?.into_inner().user
        }
        UsersCommand::Resume { user } => {
            admin.resume_user(v1::ResumeUserRequest { user_id: user }).await?.into_inner().user
        }
        UsersCommand::Delete { user, grace_days } => {
            let user_id = id_of(client, user).await?;
            admin.delete_user(v1::DeleteUserRequest { user_id, grace_days }).await?.into_inner().user
        }
        UsersCommand::Undelete { user } => {
            let user_id = id_of(client, user).await?;
            admin.undelete_user(v1::UndeleteUserRequest { user_id }).await?.into_inner().user
        }
        UsersCommand::Unlock { user } => {
            admin.unlock_user(v1::UnlockUserRequest { user_id: user.clone() }).await?;
            admin.get_user(whom(user)).await?.into_inner().user
        }
    };
    Ok(rows(user).show(format)?)
}

/// No id has an `@`, and every address has one.
fn whom(user: String) -> v1::GetUserRequest {
    if user.contains('@') {
        v1::GetUserRequest { address: user, ..Default::default() }
    } else {
        v1::GetUserRequest { user_id: user, ..Default::default() }
    }
}

/// The id of a person, who may be named by an address.
async fn id_of(client: &Client, user: String) -> Result<String, AdminError> {
    if !user.contains('@') {
        return Ok(user);
    }
    let found = client.admin().get_user(whom(user)).await?.into_inner().user;
    Ok(found.unwrap_or_default().id)
}

async fn list(client: &Client, limit: usize, format: Format) -> Result<(), AdminError> {
    let mut users = Vec::new();
    let mut request = v1::ListUsersRequest { page_size: PAGE, ..Default::default() };
    loop {
        let page = client.admin().list_users(request.clone()).await?.into_inner();
        users.extend(page.users);
        if page.next_page_token.is_empty() || users.len() >= limit {
            break;
        }
        request.page_token = page.next_page_token;
    }
    users.truncate(limit);
    Ok(rows(users).show(format)?)
}

fn rows(users: impl IntoIterator<Item = v1::User>) -> Rows {
    let mut rows =
        Rows::new(&["user", "address", "name", "state", "second factor", "confirmed", "created", "ends"]);
    for user in users {
        let state = match (user.delete_time, user.is_suspended) {
            (Some(_), _) => "deleted",
            (None, true) => "suspended",
            (None, false) => "active",
        };
        let second_factor = if user.has_second_factor { "on" } else { "off" };
        let moments = [user.confirm_time, user.create_time, user.end_time].map(moment);
        let told = [state, second_factor].map(str::to_owned);
        let row = [user.id, user.address, user.name].into_iter().chain(told);
        rows.push(row.chain(moments));
    }
    rows
}
