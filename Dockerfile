# The image holds the binary and CA certificates, and nothing else: no shell, no package manager.
ARG GO_IMAGE=golang:1.26-bookworm

FROM ${GO_IMAGE} AS build
WORKDIR /src
# On their own, so that the layer with the modules lasts until the modules change.
COPY go.mod go.sum ./
RUN go mod download
COPY openapi.go openapi.yaml ./
COPY cmd cmd
COPY internal internal
ARG VERSION=devel
ARG COMMIT=unknown
ARG DATE=unknown
RUN CGO_ENABLED=0 go build -trimpath \
    -ldflags "-s -w -X main.version=${VERSION} -X main.commit=${COMMIT} -X main.date=${DATE}" \
    -o /out/otpd ./cmd/otpd

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/otpd /otpd
# A number: Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
# Where otpd listens unless told otherwise is 127.0.0.1, which no published port reaches. See the README.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["/otpd", "healthcheck"]
ENTRYPOINT ["/otpd"]
