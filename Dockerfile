# Both images may be replaced: --build-arg GO_IMAGE=… --build-arg RUNTIME_IMAGE=…
ARG GO_IMAGE=golang:1.26
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -ldflags "-s -w" -o /weir .

# The binary is static and writes nothing but uploads of more than 512 KiB, to
# server.upload_dir or else /tmp, and the ledger where it is a file. So this may be
# scratch, and its file system read-only, with a volume for what is written.
FROM ${RUNTIME_IMAGE}
COPY --from=build /weir /weir
USER 65532:65532
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["/weir", "healthcheck"]
ENTRYPOINT ["/weir"]
