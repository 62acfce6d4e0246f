//! The contract, asked for at the port: what `grpcurl` needs.

use tollgate::config::Reflection;
use tonic::Code;
use tonic_reflection::pb::v1;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha;

use crate::server::Server;

async fn ask(server: &Server, question: MessageRequest) -> Result<MessageResponse, Code> {
    let channel = channel(server).await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answer = client.server_reflection_info(tokio_stream::once(request)).await;
    let message = answer.map_err(|status| status.code())?.into_inner().message().await;
    message.map_err(|status| status.code()).map(|message| message.unwrap().message_response.unwrap())
}

async fn channel(server: &Server) -> tonic::transport::Channel {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
    endpoint.connect().await.unwrap()
}

#[tokio::test]
async fn every_service_and_every_detail_of_an_error_can_be_asked_for() {
    let server = Server::new().await;
    let services = match ask(&server, MessageRequest::ListServices(String::new())).await.unwrap() {
        MessageResponse::ListServicesResponse(services) => services.service,
        other => panic!("{other:?}"),
    };
    let services: Vec<String> = services.into_iter().map(|service| service.name).collect();
    for expected in [
        "tollgate.v1.TrackService",
        "tollgate.v1.PlansService",
        "tollgate.v1.AuthService",
        "tollgate.v1.AdminService",
        "grpc.health.v1.Health",
    ] {
        assert!(services.iter().any(|service| service == expected), "{expected} is not in {services:?}");
    }
    for symbol in
        ["tollgate.v1.UsageEvent", "tollgate.v1.ErrorReason", "google.rpc.ErrorInfo", "google.rpc.RetryInfo"]
    {
        let answer = ask(&server, MessageRequest::FileContainingSymbol(symbol.into())).await.unwrap();
        assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{symbol}: {answer:?}");
    }
}

#[tokio::test]
async fn older_clients_ask_in_an_older_version() {
    let server = Server::new().await;
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel(&server).await);
    let question = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answer = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    assert!(answer.into_inner().message().await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_does_not_tell_does_not_tell() {
    let server = Server::new().await.restarted(|config| config.server.reflection = Reflection::Off).await;
    let answer = ask(&server, MessageRequest::ListServices(String::new())).await;
    assert_eq!(Err(Code::Unimplemented), answer.map(|_| ()));
}

#[test]
fn by_itself_a_server_tells_on_loopback_alone() {
    let mut config = tollgate::config::Config::default();
    for (address, expected) in
        [("127.0.0.1:1", true), ("[::1]:1", true), ("0.0.0.0:1", false), ("192.0.2.1:1", false)]
    {
        config.server.listen = address.parse().unwrap();
        assert_eq!(expected, config.server.reflects(), "{address}");
    }
}
