package config

import (
	"net/netip"
	"time"
)

// File is a configuration that has been checked: every default is filled in,
// every name it uses exists, and every policy holds what it inherits.
type File struct {
	// Version of this format. Always 1.
	Version int `yaml:"version" required:"true" min:"1" max:"1"`

	// Server says where to listen and how requests arrive.
	Server Server `yaml:"server"`

	// Backends are the Azure OpenAI resources and other servers, by a name of
	// your choice: an endpoint and a credential each.
	Backends map[string]Backend `yaml:"backends" required:"true" minItems:"1" names:"name"`

	// Models are what clients put in "model", and the deployments that serve
	// each.
	Models map[string]Model `yaml:"models" required:"true" minItems:"1" names:"model"`

	// Policies say what a request must satisfy. Teams that name none use
	// "default", which has the defaults below unless it is written here.
	Policies map[string]Policy `yaml:"policies" names:"name"`

	// Teams are the callers: who may use what, how fast, and for how much.
	// Without any, one
	// team "default" without a key is served, on a loopback address only.
	Teams map[string]Team `yaml:"teams" names:"name"`

	// Files says where what clients upload is kept.
	Files Files `yaml:"files"`

	// Passages are paths that Weir has no knowledge of and hands on as they are,
	// with all below them. Empty: none is.
	Passages []Passage `yaml:"passthrough"`

	// Resilience holds time-outs, retries, the breaker and the queue.
	Resilience Resilience `yaml:"resilience"`

	// State says where the limits are counted and where usage is written down.
	State State `yaml:"state"`

	// Telemetry holds the logs and the alerts.
	Telemetry Telemetry `yaml:"telemetry"`

	// Admin says who may use the admin address beyond health and metrics.
	Admin Admin `yaml:"admin"`

	// PassThrough is the backend that serves any model under its own name as
	// the deployment's name. It is set by FromEnvironment alone, and Models is
	// empty then.
	PassThrough string `yaml:"-"`
}

// Server says where to listen and how requests arrive.
type Server struct {
	// Listen is the address of the OpenAI API: host:port, :port for every
	// interface, or unix:/path.
	Listen string `yaml:"listen" default:"127.0.0.1:8080" env:"WEIR_LISTEN"`

	// AdminListen is the address of health, metrics, usage and reload: host:port
	// or :port.
	AdminListen string `yaml:"admin_listen" default:"127.0.0.1:8081" env:"WEIR_ADMIN_LISTEN"`

	// TLS turns TLS on where both files are given.
	TLS TLS `yaml:"tls"`

	// TrustedProxies are the addresses or CIDR ranges whose X-Forwarded-For
	// is believed. Empty: none.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies"`

	// MaxBody is the largest request body that is read.
	MaxBody Size `yaml:"max_body" default:"20MiB" min:"1KiB" max:"1GiB"`

	// UploadDir is the directory where what clients upload is kept for as long as
	// its request takes, beyond what is held in memory. Empty: the system's
	// temporary one.
	UploadDir string `yaml:"upload_dir"`

	// MaxUpload is the largest upload that is taken: of a file, a picture or a
	// recording, or to a path that is handed on.
	MaxUpload Size `yaml:"max_upload" default:"200MiB" min:"1KiB" max:"64GiB"`

	// MaxUploadDisk is the most that uploads may take in upload_dir at once. 0: as
	// much as there is.
	MaxUploadDisk Size `yaml:"max_upload_disk" default:"2GiB" min:"0" max:"1024GiB"`

	// ShutdownGrace is how long streams in flight may take to finish once the
	// process is asked to stop.
	ShutdownGrace time.Duration `yaml:"shutdown_grace" default:"30s" min:"0s" max:"1h"`
}

// TLS names the certificate of the API's listener.
type TLS struct {
	// CertFile is the path of the certificate chain in PEM.
	CertFile string `yaml:"cert_file"`

	// KeyFile is the path of the private key in PEM.
	KeyFile string `yaml:"key_file"`
}

// Backend is one Azure OpenAI resource, or one server that is compatible with
// OpenAI.
type Backend struct {
	// Kind is azure, or openai for OpenAI itself and any compatible server:
	// vLLM, llama.cpp, Ollama.
	Kind string `yaml:"kind" default:"azure" enum:"azure openai"`

	// Endpoint of the resource, such as https://NAME.openai.azure.com. Of kind
	// openai: the base URL, such as https://api.openai.com/v1; without a path
	// /v1 is added. Plain http is for loopback addresses only.
	Endpoint string `yaml:"endpoint" required:"true"`

	// APIVersion is v1, or a dated one such as 2024-10-21 for the classic
	// paths. Kind openai has none.
	APIVersion string `yaml:"api_version" default:"v1"`

	// Region is a label of where the backend is, such as swedencentral or eu.
	// Teams with regions use backends of those alone.
	Region string `yaml:"region"`

	// Proxy is the http:// or https:// URL of a proxy that requests go
	// through, and those for tokens of Entra ID; a metadata service is asked
	// directly. Empty: all go directly, whatever the environment says.
	Proxy string `yaml:"proxy"`

	// CAFile is the path of certificates in PEM that are believed in place of
	// the system's, and beside them where tokens of Entra ID come from. It is
	// read at start.
	CAFile string `yaml:"ca_file"`

	// Auth is the credential. Servers of kind openai on a loopback address may
	// do without.
	Auth Auth `yaml:"auth"`
}

// Auth is the credential of a backend, in exactly one of its forms.
type Auth struct {
	// APIKey is the resource's key. Write it as ${NAME} or ${file:/path}, not
	// literally.
	APIKey Secret `yaml:"api_key"`

	// APIKeys are the resource's two keys, while one of them is replaced: where
	// one is refused the other is tried, and kept to.
	APIKeys []Secret `yaml:"api_keys"`

	// APIKeyFile is the path of a file that holds the resource's key. It is read
	// again when it changes.
	APIKeyFile string `yaml:"api_key_file"`

	// Entra signs in with Entra ID. Written as {}: as a workload identity where
	// AZURE_FEDERATED_TOKEN_FILE is set, else as a managed identity.
	Entra Entra `yaml:"entra"`

	// PassThrough sends the token that the caller itself brings in
	// Authorization. Its key of the gateway, where it needs one, is in api-key
	// then.
	PassThrough bool `yaml:"pass_through" default:"false"`
}

// Entra says how to sign in with Entra ID.
type Entra struct {
	// TenantID is the tenant's. Absent: AZURE_TENANT_ID.
	TenantID string `yaml:"tenant_id"`

	// ClientID is that of the application, or of a user-assigned managed
	// identity. Absent: AZURE_CLIENT_ID; with managed_identity the system's own.
	ClientID string `yaml:"client_id"`

	// ClientSecret signs in as an application. Write it as ${NAME} or
	// ${file:/path}.
	ClientSecret Secret `yaml:"client_secret"`

	// ClientCertificateFile is the path of a certificate with its key, in PEM or
	// PKCS #12, to sign in as an application.
	ClientCertificateFile string `yaml:"client_certificate_file"`

	// FederatedTokenFile is the path of the token of a workload identity.
	FederatedTokenFile string `yaml:"federated_token_file"`

	// ManagedIdentity signs in as the managed identity of the machine.
	ManagedIdentity bool `yaml:"managed_identity" default:"false"`

	// CLI asks az, where a developer has run az login. With managed_identity: if
	// no metadata service answers.
	CLI bool `yaml:"cli" default:"false"`

	// Scope of the token. Absent: https://cognitiveservices.azure.com/.default,
	// or that of the authority's cloud.
	Scope string `yaml:"scope"`

	// Authority is where tokens come from. Absent: AZURE_AUTHORITY_HOST, or
	// https://login.microsoftonline.com.
	Authority string `yaml:"authority"`
}

// Model is what clients call by one name.
type Model struct {
	// BaseModel is what it really is, which decides tokenizer, windows and
	// parameters. Default: the name above.
	BaseModel string `yaml:"base_model"`

	// Aliases are further names of this model.
	Aliases []string `yaml:"aliases"`

	// Tokenizer overrides the vocabulary of the base model.
	Tokenizer string `yaml:"tokenizer" enum:"o200k_base cl100k_base"`

	// ContextWindow overrides the tokens that prompt and answer may have
	// together. 0: by the base model.
	ContextWindow int `yaml:"context_window" min:"1" max:"100000000"`

	// MaxInputTokens bounds the prompt. 0: the window alone does.
	MaxInputTokens int `yaml:"max_input_tokens" min:"1" max:"100000000"`

	// MaxOutputTokens overrides the longest answer. 0: by the base model.
	MaxOutputTokens int `yaml:"max_output_tokens" min:"1" max:"100000000"`

	// FixedTemperature says whether the model refuses any temperature but its
	// own, so that a 500 is retried unchanged. Absent: by the base model, then
	// as learned.
	FixedTemperature *bool `yaml:"fixed_temperature"`

	// Price overrides what the base model's tokens cost. Absent: by the base
	// model.
	Price *Price `yaml:"price"`

	// Deployments serve the model.
	Deployments []Deployment `yaml:"deployments" required:"true" minItems:"1"`
}

// Deployment is one deployment of a model on a backend.
type Deployment struct {
	// Backend is the name of the backend it is on.
	Backend string `yaml:"backend" required:"true"`

	// Deployment is its name in Azure, or the model's name at a server of kind
	// openai.
	Deployment string `yaml:"deployment" required:"true"`

	// Priority orders the deployments: lower is tried first.
	Priority int `yaml:"priority" default:"0" min:"0" max:"1000"`

	// Weight is the share within one priority. 0: not asked at all.
	Weight int `yaml:"weight" default:"1" min:"0" max:"1000"`

	// MaxInFlight bounds the requests open at once. 0: no bound.
	MaxInFlight int `yaml:"max_in_flight" default:"0" min:"0" max:"1000000"`

	// NativeSpillover says that Azure itself hands on what this provisioned
	// deployment cannot serve, so that the request is not sent once more to
	// the deployment that Azure tried.
	NativeSpillover bool `yaml:"native_spillover" default:"false"`

	// TPM is the deployment's quota of tokens a minute in Azure. 0: as its
	// answers say. Leave it away for provisioned throughput.
	TPM int `yaml:"tpm" min:"1" max:"100000000000"`

	// RPM is the deployment's quota of requests a minute in Azure. 0: as its
	// refusals show.
	RPM int `yaml:"rpm" min:"1" max:"100000000"`

	// RPMWindow is the time in which Azure admits no more than its part of
	// rpm: ten seconds, or one.
	RPMWindow time.Duration `yaml:"rpm_window" default:"10s" min:"1s" max:"1m"`

	// ContextWindow overrides the model's for this deployment. 0: the
	// model's.
	ContextWindow int `yaml:"context_window" min:"1" max:"100000000"`

	// MaxOutputTokens overrides the model's for this deployment. 0: the
	// model's.
	MaxOutputTokens int `yaml:"max_output_tokens" min:"1" max:"100000000"`

	// FixedTemperature overrides the model's for this deployment. Absent: the
	// model's.
	FixedTemperature *bool `yaml:"fixed_temperature"`

	// Price overrides the model's for this deployment. Absent: the model's.
	Price *Price `yaml:"price"`
}

// Policy is what a request must satisfy.
type Policy struct {
	// Extends names the policy whose values hold where this one is silent. It
	// has been followed already: the other fields are complete.
	Extends string `yaml:"extends"`

	// SpecialTokens says what becomes of special tokens in text: refused with
	// a 400, made harmless, or let through.
	SpecialTokens string `yaml:"special_tokens" default:"reject" enum:"reject escape allow"`

	// MaxInputTokens bounds the prompt. 0: the model's window alone does.
	MaxInputTokens int `yaml:"max_input_tokens" min:"1" max:"100000000"`

	// MaxOutputTokens bounds the answer that a request may ask for. 0: the
	// model alone does.
	MaxOutputTokens int `yaml:"max_output_tokens" min:"1" max:"100000000"`

	// DefaultOutputTokens is set where the client names no bound. 0: none is
	// set.
	DefaultOutputTokens int `yaml:"default_output_tokens" min:"1" max:"100000000"`

	// ReserveQuantile says how much of its allowance is set aside for an answer
	// that neither the client nor the policy bounds: as much as this part of
	// the team's last answers by the model did not exceed. What was not used is
	// given back. 0: 1024 tokens, whatever the last answers were.
	ReserveQuantile float64 `yaml:"reserve_quantile" default:"0.9" min:"0" max:"1"`

	// MaxTurns bounds a conversation. 0: no bound.
	MaxTurns int `yaml:"max_turns" min:"1" max:"1000000"`

	// OnOutputOverflow says what becomes of a max_tokens above the bound.
	OnOutputOverflow string `yaml:"on_output_overflow" default:"lower" enum:"lower reject"`

	// OnContextOverflow says what becomes of a prompt that does not fit. Where
	// turns are trimmed, system messages and tool pairs are kept.
	OnContextOverflow string `yaml:"on_context_overflow" default:"reject" enum:"reject trim_oldest"`

	// Mode is enforce, or shadow: decide, count and log, but let pass.
	Mode string `yaml:"mode" default:"enforce" enum:"enforce shadow"`
}

// Team is a caller with its own limits.
type Team struct {
	// Owner is shown in refusals, so that people know whom to ask.
	Owner string `yaml:"owner"`

	// Models that the team may use, by name or alias. Empty: all of them.
	Models []string `yaml:"models"`

	// Regions that the team's requests may be sent to, as backends name them.
	// They never go elsewhere. Empty: anywhere.
	Regions []string `yaml:"regions"`

	// Batches says whether the team may have batches, whose tokens no limit and no
	// budget counts. Absent: it may where neither it nor one of its keys has a tpm
	// or a budget that is enforced.
	Batches *bool `yaml:"batches"`

	// Policy names the policy its requests must satisfy.
	Policy string `yaml:"policy" default:"default"`

	// Limits of the team, shared by its keys.
	Limits Limits `yaml:"limits"`

	// OnError says what becomes of the team's requests while the Redis that
	// counts does not answer, as state.limits.on_error does for all. Absent: as
	// it says there.
	OnError string `yaml:"on_error" enum:"local open closed"`

	// Budget is how much money the team may spend, all its keys together.
	Budget Budget `yaml:"budget"`

	// Weight is the team's share, beside other teams, of deployments that have
	// no room for all. It counts in tokens.
	Weight int `yaml:"weight" default:"1" min:"1" max:"1000"`

	// Keys are what its callers present. A team without keys serves callers
	// that present none; it is the only team then, on a loopback address.
	Keys []Key `yaml:"keys"`
}

// Limits bound how fast a team or a key may go. A zero is no limit.
type Limits struct {
	// RPM is requests a minute.
	RPM int `yaml:"rpm" min:"1" max:"100000000"`

	// TPM is tokens a minute, prompt and answer together.
	TPM int `yaml:"tpm" min:"1" max:"100000000000"`

	// Concurrency is requests open at once.
	Concurrency int `yaml:"concurrency" min:"1" max:"1000000"`

	// BurstRequests is how many requests may come at once. 0: as rpm.
	BurstRequests int `yaml:"burst_requests" min:"1" max:"100000000"`

	// BurstTokens is how many tokens may be taken at once. 0: as tpm.
	BurstTokens int `yaml:"burst_tokens" min:"1" max:"100000000000"`

	// Mode is enforce, or shadow: decide, count and log, but let pass.
	Mode string `yaml:"mode" default:"enforce" enum:"enforce shadow"`
}

// Key is one key of a team, given as its SHA-256 or as its value.
type Key struct {
	// ID names the key in logs. The key itself is never shown.
	ID string `yaml:"id" required:"true"`

	// SHA256 of the key, 64 hexadecimal digits, as weir key new prints it.
	SHA256 string `yaml:"sha256" secret:"true"`

	// Value is the key itself, for sidecars and demos.
	Value Secret `yaml:"value"`

	// Expires is when the key stops working: the end of a day such as
	// 2027-03-31 in UTC, or a time such as 2027-03-31T12:00:00Z. Absent:
	// never.
	Expires time.Time `yaml:"expires"`

	// Priority says who goes first where deployments have no room for all. At
	// least a tenth of the room is left to each that is not high.
	Priority string `yaml:"priority" default:"normal" enum:"high normal low"`

	// Limits of this key, beside those of its team.
	Limits Limits `yaml:"limits"`

	// Budget is how much money this key may spend, within that of its team.
	Budget Budget `yaml:"budget"`
}
