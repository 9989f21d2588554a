//! A server that takes DICOM instances by STOW-RS, and answers as a script says.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use service::{PushPatience, Settings, Targets};

/// What it does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Stores the object.
    Stores,
    /// A status and a body.
    Says(u16, Value),
    /// A status, further lines of the head, and a text.
    Raw(u16, &'static str, &'static str),
    /// Reads it, and is silent.
    Hangs,
    /// Closes the connection in the midst of it.
    Closes,
}

/// An object that came.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Came {
    head: String,
    object: Vec<u8>,
}

impl Came {
    /// Objects of the script, and those that slidemill makes, whose head has it first.
    fn uid(&self) -> String {
        const OURS: &[u8] = b"2.25.";
        match self.object.as_slice() {
            b"DicomAnn" => "7.1".to_owned(),
            b"DicomSr" => "7.2".to_owned(),
            object => {
                let begin = object.windows(OURS.len()).position(|found| found == OURS).unwrap();
                let uid = object[begin..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
                uid.map(|byte| char::from(*byte)).collect()
            }
        }
    }
}

/// Tag, UID and code of the only item of an answer.
pub(crate) fn item(tag: &str, uid: &str, reason: Option<(&str, u16)>) -> Value {
    let mut item = json!({"00081155": {"vr": "UI", "Value": [uid]}});
    if let Some((reason, code)) = reason {
        item[reason] = json!({"vr": "US", "Value": [code]});
    }
    json!({tag: {"vr": "SQ", "Value": [item]}})
}

pub(crate) struct Pacs {
    pub(crate) address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    /// Connections that are not answered.
    silent: Arc<Mutex<Vec<TcpStream>>>,
}

impl Pacs {
    /// Replies in turn; the last of them to all further requests.
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pacs = Self { address, came: Arc::default(), silent: Arc::default() };
        let (came, silent) = (Arc::clone(&pacs.came), Arc::clone(&pacs.silent));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let reply = replies[number.min(replies.len() - 1)].clone();
                let mut stream = stream.unwrap();
                if matches!(reply, Reply::Closes) {
                    let _ = stream.read(&mut [0; 10]);
                    continue;
                }
                let object = read(&mut stream);
                let uid = object.uid();
                // First: who sees how the push stands sees what came.
                came.lock().unwrap().push(object);
                let (status, more, text) = match reply {
                    Reply::Stores => (200, "", item("00081199", &uid, None).to_string()),
                    Reply::Says(status, told) => (status, "", told.to_string()),
                    Reply::Raw(status, more, text) => (status, more, text.to_owned()),
                    Reply::Hangs | Reply::Closes => {
                        silent.lock().unwrap().push(stream);
                        continue;
                    }
                };
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n{text}",
                    text.len()
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        pacs
    }

    /// Objects in the order in which they came.
    pub(crate) fn came(&self) -> Vec<String> {
        self.objects().iter().map(|object| String::from_utf8_lossy(object).into_owned()).collect()
    }

    /// The same as bytes.
    pub(crate) fn objects(&self) -> Vec<Vec<u8>> {
        self.came.lock().unwrap().iter().map(|came| came.object.clone()).collect()
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.came.lock().unwrap().iter().map(|came| came.head.clone()).collect()
    }

    /// A file whose only target it is, called `pacs`, with a secret in a file beside it.
    pub(crate) fn targets(&self, folder: &Path) -> PathBuf {
        let (targets, secret) = (folder.join("targets"), folder.join("secret"));
        std::fs::write(&secret, "Basic c2VjcmV0\n").unwrap();
        let line = format!("pacs http://{}/dicom-web/studies file:{}\n", self.address, secret.display());
        std::fs::write(&targets, line).unwrap();
        targets
    }

    /// Settings of a service that asks it three times, without pauses.
    pub(crate) fn settings(&self, folder: &Path) -> Settings {
        Settings {
            targets: Targets::read(&self.targets(folder)).unwrap(),
            push_patience: PushPatience {
                rounds: 3,
                first_pause_secs: 0,
                silence: Duration::from_millis(500),
            },
            ..Settings::local(folder.join("data"))
        }
    }
}

/// The only part of a request, which is as long as it says.
fn read(stream: &mut TcpStream) -> Came {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let (head, length) = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
            bytes.drain(..end + 4);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let length: usize = length.parse().unwrap();
            break (head, length);
        }
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the head ends early");
        bytes.extend(&piece[..read]);
    };
    while bytes.len() < length {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the body is shorter than its length");
        bytes.extend(&piece[..read]);
    }
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
    let boundary = kind.strip_prefix("multipart/related; type=\"application/dicom\"; boundary=").unwrap();
    let begin = format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n");
    let end = format!("\r\n--{boundary}--\r\n");
    let rest = bytes.strip_prefix(begin.as_bytes()).unwrap();
    let object = rest.strip_suffix(end.as_bytes()).unwrap().to_owned();
    Came { head, object }
}
