# The dependencies are built in a separate layer, which only a change of a manifest or of the lock file invalidates.
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY api/Cargo.toml api/
COPY domain/Cargo.toml domain/
COPY migration/Cargo.toml migration/
COPY persistence/Cargo.toml persistence/
COPY tests/Cargo.toml tests/
COPY tests/bench/Cargo.toml tests/bench/
COPY tests/clients/rust/Cargo.toml tests/clients/rust/
RUN mkdir -p api/src domain/src migration/src persistence/src tests/src tests/it tests/bench/src/bin \
        tests/clients/rust/src \
    && touch api/src/lib.rs domain/src/lib.rs migration/src/lib.rs persistence/src/lib.rs tests/src/lib.rs tests/it/main.rs \
        tests/bench/src/lib.rs tests/bench/src/main.rs tests/bench/src/bin/hello.rs tests/clients/rust/src/lib.rs \
    && echo 'fn main() {}' > api/src/main.rs \
    && cargo build --release --locked
COPY api api
COPY domain domain
COPY migration migration
COPY persistence persistence
# Cargo compares times: the sources must be newer than the build of the empty files above.
RUN touch api/src/*.rs domain/src/lib.rs migration/src/lib.rs persistence/src/lib.rs \
    && cargo build --release --locked

FROM docker.io/library/debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin claviger \
    && install --directory --owner claviger --group claviger --mode 0700 /data
# The JWKS of identity providers are fetched by https.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/target/release/claviger /usr/local/bin/claviger
USER 10001
WORKDIR /data
VOLUME /data
# CLAVIGER_DATABASE_URL is not set, so that CLAVIGER_DATABASE_URL_FILE can be: by default the database is in the current folder.
ENV CLAVIGER_LISTEN=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
# `claviger health` has a timeout of 5 seconds.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["claviger", "health"]
ENTRYPOINT ["claviger"]
CMD ["serve"]
