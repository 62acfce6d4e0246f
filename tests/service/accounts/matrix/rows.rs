//! What every kind of caller is answered to a good request of each method.

use tonic::Code;

/// What a letter of the table is: the code and the reason of the answer.
pub(super) const LETTERS: [(char, Code, &str); 9] = [
    ('+', Code::Ok, ""),
    ('c', Code::Unauthenticated, "CREDENTIAL_MISSING"),
    ('m', Code::PermissionDenied, "PERMISSION_MISSING"),
    ('f', Code::PermissionDenied, "TENANT_FORBIDDEN"),
    ('s', Code::PermissionDenied, "SESSION_REQUIRED"),
    ('k', Code::NotFound, "API_KEY_NOT_FOUND"),
    ('u', Code::NotFound, "USER_NOT_FOUND"),
    // Whoever is answered so came in, without a code of a letter and without a second factor.
    ('x', Code::InvalidArgument, "CODE_INVALID"),
    ('y', Code::FailedPrecondition, "SECOND_FACTOR_MISSING"),
];

/// All requests are about one tenant: its members are a viewer V, developer D, billing B, admin A and owner O; K is a key of
/// it, N one with `wallet.read` alone. - has no credential. S is a service account, T a token of it; P of the staff as
/// support, X as operator, Y the operator's key; F owns another tenant.
const TABLE: &str = "
                       - V D B A O K N S T P X Y F
TrackService:
  Track                c m + m + + + m + + m + + f
  Complete             c m + m + + + m + + m + + f
  TrackBatch           c m + m + + + m + + m + + f
  Check                c m + m + + + m + + m + + f
  Reserve              c m + m + + + m + + m + + f
  Extend               c m + m + + + m + + m + + f
  Settle               c m + m + + + m + + m + + f
  Release              c m + m + + + m + + m + + f
  WatchUsage           c + + + + + + m + + + + + f
  GetLimits            c + + + + + + m + + + + + f
  QueryUsage           c + + + + + + m + + + + + f
  ListEvents           c + + + + + + m + + + + + f
PlansService:
  ListPlans            c + + + + + + m + + + + + +
  GetPlan              c + + + + + + m + + + + + +
  CreatePlan           c m m m m m m m m m m + + m
  CreatePlanVersion    c m m m m m m m m m m + + m
  PublishPlanVersion   c m m m m m m m m m m + + m
  GetSubscription      c + + + + + + m m m + + + f
  ChangeSubscription   c m m m m m m m m m m + + m
  GetWallet            c m m + + + + + m m + + + f
  GrantCredits         c m m m m m m m m m m + + m
AuthService:
  CreateApiKey         c m + m + + + m m m m + + f
  ListApiKeys          c m + m + + + m m m + + + f
  GetApiKey            c m + m + + + m m m + + + k
  UpdateApiKey         c m + m + + + m m m m + + k
  RotateApiKey         c m + m + + + m m m m + + k
  RevokeApiKey         c m + m + + + m m m m + + k
  ListMembers          c m m m + + m m m m + + + f
  ChangeMemberRole     c m m m + + m m m m m + + f
  RemoveMember         c m m m + + m m m m m + + f
  ListRoles            c m m m + + m m m m + + + f
  CreateRole           c m m m + + m m m m m + + f
  UpdateRole           c m m m + + m m m m m + + f
  DeleteRole           c m m m + + m m m m m + + f
  WhoAmI               c + + + + + + + + + + + + +
  GetJwks              + + + + + + + + + + + + + +
  Login                + + + + + + + + + + + + + +
  RefreshToken         + + + + + + + + + + + + + +
  Logout               c + + + + + s s s s + + s +
  ListSessions         c + + + + + s s s s + + s +
  EndSession           c + + + + + s s s s + + s +
  ChangePassword       c + + + + + s s s s + + s +
  CreateServiceToken   c m + m + + + m + m m + s +
  SignUp               + + + + + + + + + + + + + +
  ConfirmAddress       x x x x x x x x x x x x x x
  ResendConfirmation   + + + + + + + + + + + + + +
  RequestPasswordReset + + + + + + + + + + + + + +
  ResetPassword        x x x x x x x x x x x x x x
  UnlockWithCode       x x x x x x x x x x x x x x
  RequestAddressChange c + + + + + s s s s + + s +
  ConfirmAddressChange x x x x x x x x x x x x x x
  InviteMember         c m m m + + m m m m m + + f
  ListInvitations      c m m m + + m m m m + + + f
  RevokeInvitation     c m m m + + m m m m m + + f
  AcceptInvitation     x x x x x x x x x x x x x x
  BeginSecondFactor    c + + + + + s s s s + + s +
  ConfirmSecondFactor  c x x x x x s s s s x x s x
  RemoveSecondFactor   c y y y y y s s s s y y s y
AdminService:
  CreateTenant         c m m m m m m m m m m + + m
  GetTenant            c m m m m m m m m m + + + m
  ListTenants          c m m m m m m m m m + + + m
  UpdateTenant         c m m m m m m m m m m + + m
  DeleteTenant         c m m m m + m m m m m + + f
  UndeleteTenant       c m m m m m m m m m m + + m
  ExportTenant         c m m m m + m m m m m + + f
  SuspendTenant        c m m m m m m m m m m + + m
  ResumeTenant         c m m m m m m m m m m + + m
  AddStaff             c m m m m m m m m m m + + m
  ListStaff            c m m m m m m m m m m + + m
  RemoveStaff          c m m m m m m m m m m + + m
  ListUsers            c m m m m m m m m m + + + m
  GetUser              c m m m m m m m m m + + + m
  SuspendUser          c m m m m m m m m m m + + m
  ResumeUser           c m m m m m m m m m m + + m
  DeleteUser           c m m m m m m m m m m + + m
  UndeleteUser         c m m m m m m m m m m + + m
  UnlockUser           c m m m + + m m m m + + + u
  ListAuditEntries     c m m m + + m m m m + + + f
  VerifyAuditLog       c m m m + + m m m m + + + f
  ListJobs             c m m m m m m m m m + + + m
  RunJob               c m m m m m m m m m m + + m
  RotateSigningKey     c m m m m m m m m m m + + m
";

/// The columns of the table.
pub(super) fn columns() -> Vec<&'static str> {
    TABLE.lines().find(|line| line.contains('-')).unwrap_or_default().split_whitespace().collect()
}

/// The methods of the table as `Service/Method`, each with its answers, a space between them.
pub(super) fn rows() -> Vec<(String, String)> {
    let mut service = "";
    let mut rows = Vec::new();
    for line in TABLE.lines().skip_while(|line| !line.ends_with(':')) {
        if let Some(name) = line.strip_suffix(':') {
            service = name;
        } else if let Some((method, answers)) = line.trim_start().split_once(' ') {
            rows.push((format!("{service}/{method}"), answers.trim_start().to_owned()));
        }
    }
    rows
}
