//! TLS: the server's certificate is checked.

use std::fs;

use memstore_cluster::backend::Backend;
use memstore_cluster::time::Millis;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::folder;
use crate::servers::{Server, free_port, open};

#[test]
fn a_server_that_the_given_authority_vouches_for_is_trusted_and_no_other() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = certificates();
    fs::write(path("ca.pem"), ca).unwrap();
    fs::write(path("cert.pem"), certificate).unwrap();
    fs::write(path("key.pem"), key).unwrap();
    let port = free_port();
    let Some(_server) = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &path("cert.pem"),
        "--tls-key-file",
        &path("key.pem"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]) else {
        return;
    };
    let store = &mut open(&format!("rediss://localhost:{port}?ca={}", path("ca.pem"))).unwrap();
    assert!(store.get(Millis::ZERO, b"k").unwrap().is_none());
    let error = open(&format!("rediss://localhost:{port}"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("certificate"), "{error}");
    let error = open(&format!("rediss://localhost:{port}?ca=/none"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot read /none"), "{error}");
}

/// An authority's certificate, and a certificate for `localhost` by it with its key.
fn certificates() -> (String, String, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap();
    (authority.pem(), certificate.pem(), key.serialize_pem())
}
