//! One connection: who comes, and which channels are opened. Whoever has proven a key is in one
//! container, which the user name says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use russh::keys::PublicKey;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelOpenFailure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::channel;
use super::guest::Guest;
use super::guests::{GUESTS_MAX, Guests, Ticket};
use super::keys::Keys;
use super::wanted::Wanted;
use crate::rep::Handle;

/// The most channels of one connection at once.
const CHANNELS_MAX: usize = 32;

/// A connection.
pub(super) struct Connection {
    cell: Handle,
    /// Who is in which container, of all connections.
    guests: Guests,
    keys: Arc<Keys>,
    from: SocketAddr,
    /// Who it is; nobody until a key was proven.
    guest: Option<Arc<Guest>>,
    /// True once a key was proven.
    is_in: Arc<AtomicBool>,
    room: Arc<Semaphore>,
}

/// What a channel takes, as long as it is there.
struct Places {
    _channel: OwnedSemaphorePermit,
    _inside: Ticket,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new((cell, guests): (Handle, Guests), keys: Arc<Keys>, from: SocketAddr) -> Self {
        let room = Arc::new(Semaphore::new(CHANNELS_MAX));
        Self { cell, guests, keys, from, guest: None, is_in: Arc::default(), room }
    }

    /// True once a key was proven.
    pub(super) fn is_in(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_in)
    }

    fn lets_in(&self, key: &PublicKey) -> Auth {
        if self.keys.lets_in(key) { Auth::Accept } else { Auth::reject() }
    }

    async fn enter(&mut self, user: &str) -> Result<(), String> {
        let guest = Guest::of(&self.cell, &Wanted::parse(user)?).await?;
        self.guest = Some(Arc::new(guest));
        self.is_in.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// A channel's guest, while there is room for one more.
    fn take(&self) -> Option<(Arc<Guest>, Places)> {
        let guest = self.guest.as_ref()?;
        let channel = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let Some(inside) = self.guests.admit(guest.container()) else {
            let container = guest.container();
            tracing::warn!(%container, most = GUESTS_MAX, "too much is done in it by SSH");
            return None;
        };
        Some((Arc::clone(guest), Places { _channel: channel, _inside: inside }))
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.lets_in(offer.public_key))
    }

    /// As in the original, there is no way in where there is no instance.
    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        if self.lets_in(key.public_key) != Auth::Accept {
            return Ok(Auth::reject());
        }
        match self.enter(user).await {
            Ok(()) => {
                tracing::info!(%user, from = %self.from, "someone was let in by SSH");
                Ok(Auth::Accept)
            }
            Err(why) => {
                tracing::info!(%user, from = %self.from, %why, "someone was not let in by SSH");
                Ok(Auth::reject())
            }
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some((guest, place)) = self.take() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let replies = session.handle();
        reply.accept().await;
        tokio::spawn(async move {
            channel::serve(channel, replies, &guest).await;
            drop(place);
        });
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let (Some((guest, place)), Ok(port)) = (self.take(), u16::try_from(port)) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let host = host.to_owned();
        tokio::spawn(async move {
            channel::connect(channel, reply, &guest, (host, port)).await;
            drop(place);
        });
        Ok(())
    }
}
