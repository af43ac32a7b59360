package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// EntraConfig says who signs in with Entra ID, and where. One way is used: the
// first of the secret, the certificate, the token file, the managed identity and
// az that is set. Az is run only where CLI asks for it; beside ManagedIdentity it
// is asked where no metadata service answers.
type EntraConfig struct {
	TenantID        string
	ClientID        string        // of a managed identity: "" is the system's own
	ClientSecret    func() string // nil: none
	CertificateFile string        // with its key, in PEM or PKCS #12
	TokenFile       string        // of a workload identity
	ManagedIdentity bool
	CLI             bool
	Scope           string // of the token
	Authority       string // where it comes from: https://login.microsoftonline.com, or another cloud's

	Transport http.RoundTripper // to the authority; used as it is
	Metadata  http.RoundTripper // to the metadata service, which no proxy reaches; nil: Transport
	Log       *slog.Logger      // nil: nothing is logged
}

// NewEntra returns the credential that signs in as c says. Nobody is asked for a
// token before the first request needs one.
func NewEntra(c EntraConfig) *Entra {
	c.Metadata = cmp.Or(c.Metadata, c.Transport)
	return &Entra{log: orDiscard(c.Log), sign: (&signer{c}).sign}
}

// signer gets tokens. It keeps none: each time its credential is a new one, so
// that certificates and token files are read again and no cache stands between.
type signer struct{ cfg EntraConfig }

// sign gets a token.
func (s *signer) sign(ctx context.Context) (azcore.AccessToken, error) {
	way, options := s.way(ctx), azpolicy.TokenRequestOptions{Scopes: []string{s.cfg.Scope}}
	via := &errand{via: s.cfg.Transport}
	if way == byManagedIdentity {
		via.via = s.cfg.Metadata
		options.Claims = "{}" // makes the library pass over a cache that the whole process shares
	}
	credential, err := s.open(way, via)
	var token azcore.AccessToken
	if err == nil {
		token, err = credential.GetToken(ctx, options)
	}
	if err != nil { // its text holds the whole answer
		return azcore.AccessToken{}, fmt.Errorf("upstream: signing in with Entra ID by %s: %s", way, why(ctx, err, via.fault()))
	}
	return token, nil
}

// client returns a client that follows no redirects.
func client(via http.RoundTripper) *http.Client {
	return &http.Client{Transport: via, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// errand is what the questions for one token go through. It keeps why the last of
// them had no answer, which the library does not hand on.
type errand struct {
	via http.RoundTripper

	mu  sync.Mutex
	err error
}

// RoundTrip sends a request.
func (e *errand) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := e.via.RoundTrip(r)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
	return resp, err
}

// fault returns why the last request had no answer; nil is that it had one.
func (e *errand) fault() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// way is how to sign in.
type way string

const (
	bySecret          way = "client secret"
	byCertificate     way = "client certificate"
	byTokenFile       way = "workload identity"
	byManagedIdentity way = "managed identity"
	byCLI             way = "az login"
)

// way returns how to sign in.
func (s *signer) way(ctx context.Context) way {
	switch c := &s.cfg; {
	case c.ClientSecret != nil:
		return bySecret
	case c.CertificateFile != "":
		return byCertificate
	case c.TokenFile != "":
		return byTokenFile
	case c.CLI && (!c.ManagedIdentity || !s.managed(ctx)):
		return byCLI
	default:
		return byManagedIdentity
	}
}

// The metadata service of a virtual machine, and how long it may take to say
// that it is there.
const (
	metadata     = "http://169.254.169.254/metadata/identity/oauth2/token"
	metadataWait = time.Second
)

// managed reports whether a metadata service answers, which no developer's own
// machine has. It answers without delay, if only to say that the question was
// wrong.
func (s *signer) managed(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, metadataWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metadata, http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client(s.cfg.Metadata).Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // nothing is read of it
	return true
}

// open returns the credential of a way to sign in.
func (s *signer) open(w way, via *errand) (azcore.TokenCredential, error) {
	c := &s.cfg
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: c.Authority},
		Retry:     azpolicy.RetryOptions{MaxRetries: 2, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 5 * time.Second, TryTimeout: 10 * time.Second},
		Transport: client(via),
	}
	switch w { // no instance discovery: the authority is the configuration's
	case bySecret:
		return azidentity.NewClientSecretCredential(c.TenantID, c.ClientID, c.ClientSecret(),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	case byCertificate:
		return s.certificate(options)
	case byTokenFile:
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, DisableInstanceDiscovery: true,
			ClientID: c.ClientID, TenantID: c.TenantID, TokenFilePath: c.TokenFile,
		})
	case byCLI:
		return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: c.TenantID})
	default:
		managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if c.ClientID != "" {
			managed.ID = azidentity.ClientID(c.ClientID)
		}
		return azidentity.NewManagedIdentityCredential(managed)
	}
}

// certificate returns the credential of the certificate that the file holds now.
func (s *signer) certificate(options azcore.ClientOptions) (azcore.TokenCredential, error) {
	data, err := os.ReadFile(s.cfg.CertificateFile)
	if err != nil {
		return nil, fmt.Errorf("upstream: reading a certificate: %w", err)
	}
	chain, key, err := azidentity.ParseCertificates(data, nil)
	if err != nil {
		return nil, errNoCertificate
	}
	return azidentity.NewClientCertificateCredential(s.cfg.TenantID, s.cfg.ClientID, chain, key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
}

// errNoCertificate says that a file holds no certificate with its key.
var errNoCertificate = errors.New("the file holds no certificate with its key, or they have a password")

// why says what went wrong, in words that hold nothing of an answer but its
// status and Entra's own number for the fault. Fault is of a request without an
// answer.
func why(ctx context.Context, err, fault error) string {
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if ok && failed.RawResponse != nil {
		return strings.TrimSpace("the answer was " + strconv.Itoa(failed.RawResponse.StatusCode) + " " + faultNumber(err.Error()))
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*net.OpError](fault); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](fault); ok {
		return e.Error()
	}
	switch {
	case ctx.Err() != nil:
		return "no answer in time"
	case errors.Is(err, errNoCertificate):
		return err.Error()
	case ok:
		return "no answer"
	default:
		return "no token was to be had"
	}
}

// faultNumber returns the first number of the form AADSTS700016 in text.
func faultNumber(text string) string {
	const prefix = "AADSTS"
	i := strings.Index(text, prefix)
	if i < 0 {
		return ""
	}
	n := len(prefix)
	for i+n < len(text) && text[i+n] >= '0' && text[i+n] <= '9' {
		n++
	}
	return text[i : i+n]
}
