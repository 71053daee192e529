//! Real servers that a test starts, stops and starts again: S3 and Redis.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::Result;
use crate::process::Process;

mod redis;
mod s3;

pub use redis::{PASSWORD, Redis};
pub use s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};

/// The local cluster's node, as pods and this machine reach it.
const NODE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);

/// Who reaches a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine alone.
    Loopback,
    /// The pods of the local cluster: it runs in the network of the node.
    Pods,
}

impl Reach {
    fn address(self) -> IpAddr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST.into(),
            Self::Pods => NODE.into(),
        }
    }

    fn command(self, program: &str) -> Command {
        match self {
            Self::Loopback => Command::new(program),
            Self::Pods => {
                let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/cluster"));
                command.arg("enter").arg(program);
                command
            }
        }
    }
}

/// A port that nobody listens on.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Starts a server, and waits until it takes connections.
async fn start(name: &'static str, command: &mut Command, log: PathBuf, address: (IpAddr, u16)) -> Result<Process> {
    let mut process = Process::spawn(name, command, log)?;
    while TcpStream::connect(address).is_err() {
        if let Some(status) = process.ended()? {
            return Err(format!("{name} ended with {status}: {}", process.last_lines()).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(process)
}

/// An authority's certificate, that of a server at an address, and the server's key.
fn certificates(address: IpAddr) -> Result<(String, String, String)> {
    let mut authority = CertificateParams::new(Vec::new())?;
    // Else both have the name that the library gives, and a certificate whose issuer has its own name seems to be its own authority.
    authority.distinguished_name.push(DnType::CommonName, "an authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let certificate = authority.self_signed(&key)?;
    let own = KeyPair::generate()?;
    let signed = CertificateParams::new(vec![address.to_string()])?.signed_by(&own, &Issuer::new(authority, key))?;
    Ok((certificate.pem(), signed.pem(), own.serialize_pem()))
}

/// The program that this variable names.
fn program(variable: &str) -> Result<String> {
    let named = std::env::var(variable);
    named.map_err(|_| format!("{variable} must name a server's program: run e2e/run-objects or e2e/run-tests").into())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
