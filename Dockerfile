# The dependencies are built in a layer of their own, which only a change of a manifest or of the lock file invalidates.
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY api/Cargo.toml api/
COPY domain/Cargo.toml domain/
COPY migration/Cargo.toml migration/
COPY persistence/Cargo.toml persistence/
COPY tests/Cargo.toml tests/
COPY tests/bench/Cargo.toml tests/bench/
RUN mkdir -p api/src domain/src migration/src persistence/src tests/src tests/it tests/bench/src/bin \
    && touch api/src/lib.rs domain/src/lib.rs migration/src/lib.rs persistence/src/lib.rs tests/src/lib.rs tests/it/main.rs \
        tests/bench/src/lib.rs tests/bench/src/main.rs tests/bench/src/bin/hello.rs \
    && echo 'fn main() {}' > api/src/main.rs \
    && cargo build --release --locked
COPY api api
COPY domain domain
COPY migration migration
COPY persistence persistence
# Newer than what was built from the empty files above.
RUN touch api/src/*.rs domain/src/lib.rs migration/src/lib.rs persistence/src/lib.rs \
    && cargo build --release --locked

FROM docker.io/library/debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin claviger \
    && install --directory --owner claviger --group claviger --mode 0700 /data
# For the keys of identity providers, which are fetched by https.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/target/release/claviger /usr/local/bin/claviger
USER 10001
WORKDIR /data
VOLUME /data
ENV CLAVIGER_LISTEN=0.0.0.0:8080 \
    CLAVIGER_DATABASE_URL=sqlite:///data/claviger.db
EXPOSE 8080
STOPSIGNAL SIGTERM
# `claviger health` gives up after 5 seconds.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["claviger", "health"]
ENTRYPOINT ["claviger"]
CMD ["serve"]
