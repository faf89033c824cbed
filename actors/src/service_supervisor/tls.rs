//! TLS to a service that is probed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
};

/// A connection with a socket below it.
pub(super) trait Wire: Read + Write {
    /// Gives the socket, to set how long it may wait.
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for StreamOwned<ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

/// Speaks TLS over a connection. The certificate must be one this machine trusts, unless the address is a
/// loopback one: development servers sign their own.
pub(super) fn over(
    mut stream: TcpStream,
    host: &str,
    within: Duration,
) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
    let failed = |e: &dyn std::fmt::Display| format!("https://{host}: {e}");
    let name = ServerName::try_from(host.to_owned()).map_err(|e| failed(&e))?;
    let is_near = stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
    let config = config(is_near).map_err(|e| failed(&e))?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|e| failed(&e))?;
    stream
        .set_read_timeout(Some(within))
        .and_then(|()| stream.set_write_timeout(Some(within)))
        .map_err(|e| failed(&e))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).map_err(|e| failed(&e))?;
    }
    Ok(StreamOwned::new(tls, stream))
}

fn config(is_near: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    if is_near {
        let any = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Any(provider)));
        return Ok(any.with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate; that the server has its key is checked.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
