use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A mail server that takes everything and keeps the envelope's recipient and the Message-ID.
#[derive(Clone)]
pub struct SmtpReceiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<(String, String)>>>,
}

impl SmtpReceiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), received: Arc::default() };
        let received = Arc::clone(&receiver.received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let received = Arc::clone(&received);
                // A client that is killed in the middle ends only its own conversation.
                tokio::spawn(async move { converse(stream, &received).await });
            }
        });
        receiver
    }

    /// Message-IDs that came for a recipient, in order.
    pub fn message_ids(&self, recipient: &str) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received.iter().filter(|(to, _)| to == recipient).map(|(_, id)| id.clone()).collect()
    }
}

async fn converse(stream: TcpStream, received: &Mutex<Vec<(String, String)>>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut recipient = String::new();
    writer.write_all(b"220 test\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" => b"250-test\r\n250 8BITMIME\r\n",
            "RCPT" => {
                recipient = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                b"250 ok\r\n"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                let mut message_id = String::new();
                let mut whole = false;
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        whole = true;
                        break;
                    }
                    if let Some(id) = line.strip_prefix("Message-ID: ") {
                        message_id = id.to_owned();
                    }
                }
                if !whole {
                    return Ok(());
                }
                // Taken before the reply: what the client does not hear of has been delivered all the same.
                received.lock().unwrap().push((recipient.clone(), message_id));
                b"250 taken\r\n"
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n").await,
            _ => b"250 ok\r\n",
        };
        writer.write_all(reply).await?;
    }
    Ok(())
}
