//! Why a file of rows cannot be read: what is in it, or a disk or network that may do better next time.

use std::io;

use rustix::io::Errno;

/// A file of rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its content is not what the format says, or it is not there for this user: the next try finds the same.
    #[error("{0}")]
    Content(String),
    /// A column is missing or of an unsuitable type.
    #[error("{0}")]
    Column(String),
    /// The disk or the network failed: it may work next time.
    #[error("{0}")]
    Io(#[source] io::Error),
}

/// Errors of the system that say something about the file itself. All others (`EIO`, `ESTALE`, `ETIMEDOUT`, `EAGAIN`,
/// `ENOTCONN`, …) are those of a disk, a network or a machine, and may pass.
const LASTING: [Errno; 8] = [
    Errno::NOENT,
    Errno::NOTDIR,
    Errno::ISDIR,
    Errno::ACCESS,
    Errno::PERM,
    Errno::LOOP,
    Errno::NAMETOOLONG,
    Errno::NOTSUP,
];

/// Whether another try would find the same: the error is about the file or, without a number of the system's, comes from
/// a decoder that read what is in it.
pub(crate) fn is_lasting(error: &io::Error) -> bool {
    if error.raw_os_error().is_some() {
        return Errno::from_io_error(error).is_some_and(|number| LASTING.contains(&number));
    }
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::Unsupported
            | io::ErrorKind::Other
    )
}

/// Whether the error says that there is no such file.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl ReadError {
    /// Tells failures of input and output, which may pass, from contents that will stay wrong.
    pub(super) fn from_io(error: io::Error) -> Self {
        if is_lasting(&error) {
            Self::Content(error.to_string())
        } else {
            Self::Io(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_disk_and_network_may_pass() {
        for number in [
            Errno::IO,
            Errno::STALE,
            Errno::TIMEDOUT,
            Errno::AGAIN,
            Errno::NOTCONN,
            Errno::CONNRESET,
            Errno::HOSTDOWN,
            Errno::HOSTUNREACH,
            Errno::NOMEM,
            Errno::MFILE,
            Errno::NODEV,
            Errno::NXIO,
            Errno::BUSY,
            Errno::REMOTEIO,
            Errno::SHUTDOWN,
        ] {
            let error = io::Error::from_raw_os_error(number.raw_os_error());
            assert!(matches!(ReadError::from_io(error), ReadError::Io(_)), "{number:?}");
        }
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::StaleNetworkFileHandle] {
            assert!(matches!(ReadError::from_io(kind.into()), ReadError::Io(_)), "{kind:?}");
        }
    }

    #[test]
    fn errors_about_the_file_stay() {
        for number in LASTING {
            let error = io::Error::from_raw_os_error(number.raw_os_error());
            assert!(matches!(ReadError::from_io(error), ReadError::Content(_)), "{number:?}");
        }
        for kind in [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::InvalidData,
            io::ErrorKind::Other,
        ] {
            assert!(
                matches!(ReadError::from_io(kind.into()), ReadError::Content(_)),
                "{kind:?}"
            );
        }
    }
}
