//! Which methods leave an entry in the audit log: every one that changes something, but the work that plans count.

use crate::identity::permission::{Permission, Required};

/// Methods that change nothing, though what they take does not say so; and the one that every session calls every few
/// minutes, whose beginning and end are kept.
const EXEMPT: [&str; 5] = ["WhoAmI", "ListSessions", "GetJwks", "ListStaff", "RefreshToken"];
/// Methods of a caller's work, which the ledger keeps each of.
const WORK: [Permission; 2] = [Permission::UsageTrack, Permission::UsageImport];

/// Whether the method at that path leaves an entry. What is not known to be exempt does.
pub(in crate::api::layers) fn is_audited(required: Required, path: &str) -> bool {
    let changes = match required {
        Required::Permission(permission) => {
            !WORK.contains(&permission) && !permission.name().ends_with(".read")
        }
        Required::Authenticated | Required::Nothing => true,
    };
    changes && !path.rsplit('/').next().is_some_and(|method| EXEMPT.contains(&method))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::identity::permission::required;

    /// Every method that leaves an entry. One that is neither here nor exempt by [`is_audited`] has to be thought about.
    const AUDITED: [&str; 49] = [
        "AcceptInvitation",
        "AddStaff",
        "BeginSecondFactor",
        "ChangeMemberRole",
        "ChangePassword",
        "ChangeSubscription",
        "ConfirmAddress",
        "ConfirmAddressChange",
        "ConfirmSecondFactor",
        "CreateApiKey",
        "CreatePlan",
        "CreatePlanVersion",
        "CreateRole",
        "CreateServiceToken",
        "CreateTenant",
        "DeleteRole",
        "DeleteTenant",
        "DeleteUser",
        "EndSession",
        "ExportTenant",
        "GrantCredits",
        "InviteMember",
        "Login",
        "Logout",
        "PublishPlanVersion",
        "RemoveMember",
        "RemoveSecondFactor",
        "RemoveStaff",
        "RequestAddressChange",
        "RequestPasswordReset",
        "ResendConfirmation",
        "ResetPassword",
        "ResumeTenant",
        "ResumeUser",
        "RevokeApiKey",
        "RevokeInvitation",
        "RotateApiKey",
        "RotateSigningKey",
        "RunJob",
        "SignUp",
        "SuspendTenant",
        "SuspendUser",
        "UndeleteTenant",
        "UndeleteUser",
        "UnlockUser",
        "UnlockWithCode",
        "UpdateApiKey",
        "UpdateRole",
        "UpdateTenant",
    ];

    #[test]
    fn every_method_is_either_audited_or_exempt_on_purpose() {
        let files = prost_types::FileDescriptorSet::decode(crate::api::DESCRIPTOR).unwrap();
        let mut strange = Vec::new();
        for file in &files.file {
            for service in file.service.iter().filter(|_| file.package() == "tollgate.v1") {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let required = required(&path).unwrap();
                    if is_audited(required, &path) != AUDITED.contains(&method.name()) {
                        strange.push(path);
                    }
                }
            }
        }
        assert!(
            strange.is_empty(),
            "to be put into AUDITED, or into EXEMPT where it changes nothing: {strange:?}"
        );
    }
}
