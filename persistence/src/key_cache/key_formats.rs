//! The formats of imported and supplied secrets. They are few, and are kept in memory, so that a secret which has none of them causes
//! no lookup. Each node reads them again when it is notified of a change. Until then it rejects secrets of a new format as unknown.

use std::sync::{Arc, PoisonError, RwLock};

use domain::{
    Outage,
    keys::secret::{self, Alphabet, ImportedSecret, KeyFormat},
};
use sea_orm::{EntityTrait, QuerySelect, prelude::Uuid};

use crate::{
    db::{connect::Pools, error::DbFailure},
    rows::{convert, entity::imported_shape},
};

/// The formats of imported keys of all organizations, in memory.
#[derive(Debug, Default)]
pub(crate) struct KeyFormatRegistry(RwLock<Arc<secret::KeyFormats>>);

impl KeyFormatRegistry {
    pub(crate) fn parse_secret(&self, text: &str) -> Option<ImportedSecret> {
        let formats = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        formats.read(text)
    }

    /// As [`KeyFormatRegistry::load`]. If it fails, keys of new formats are unknown until the next change of formats.
    pub(crate) async fn load_or_warn(&self, pools: &Pools) {
        if let Err(failure) = self.load(pools).await {
            let error = Outage::from(failure);
            tracing::warn!(target: "claviger", %error, "reading the formats of imported keys failed; imported keys may be unknown for a while");
        }
    }

    /// Reads the formats from the database.
    pub(crate) async fn load(&self, pools: &Pools) -> Result<(), DbFailure> {
        // Many organizations may have the same format.
        let rows = imported_shape::Entity::find()
            .select_only()
            .columns([imported_shape::Column::Prefix, imported_shape::Column::Length, imported_shape::Column::Alphabet])
            .distinct()
            .into_tuple::<(String, i16, String)>()
            .all(&pools.verification)
            .await?;
        let formats = rows.iter().map(|(prefix, length, alphabet)| {
            let (alphabet, length) = (Alphabet::parse(alphabet), u16::try_from(*length).ok());
            let format =
                alphabet.zip(length).and_then(|(alphabet, length)| KeyFormat::stored(prefix, length, alphabet).ok());
            format.ok_or_else(|| convert::broken("imported_shapes", "alphabet", Uuid::nil()))
        });
        let formats = secret::KeyFormats::new(formats.collect::<Result<Vec<_>, _>>()?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(formats);
        Ok(())
    }
}
