package telemetry

import "sync/atomic"

// Known is what the configuration of now names. Whatever else turns up in records
// is told as one.
type Known struct {
	Models      map[string]bool
	Deployments map[string]Backend // by how records name them
	Teams       map[string]bool

	// Open is set where clients name models themselves, each served by the
	// deployment of its name. The first 256 of them are told apart.
	Open    bool
	Default Backend // where those deployments are
}

// Backend is where a deployment is.
type Backend struct {
	Provider string // in the words of gen_ai.provider.name
	Address  string // its host
	Port     int
}

// AzureOpenAI is the provider of deployments of which nothing else is said.
const AzureOpenAI = "azure.ai.openai"

// vocabulary is Known as it is looked up.
type vocabulary struct {
	models, deployments, teams *names

	backends  map[string]Backend
	elsewhere Backend // of all others

	paths paths
}

// backend returns where a deployment is.
func (v *vocabulary) backend(deployment string) Backend {
	if b, ok := v.backends[deployment]; ok {
		return b
	}
	return v.elsewhere
}

// Know makes k what is told apart from now on. Series that are there stay.
func (m *Metrics) Know(k Known) {
	if k.Default.Provider == "" {
		k.Default.Provider = AzureOpenAI
	}
	before := m.words.Load()
	m.words.Store(&vocabulary{
		models:      named(k.Models, k.Open, before.models),
		deployments: named(k.Deployments, k.Open, before.deployments),
		teams:       named(k.Teams, false, nil),
		backends:    k.Deployments, elsewhere: k.Default,
	})
}

// newWords returns what is told apart while nothing is known: the first models and
// deployments that there are.
func newWords() *atomic.Pointer[vocabulary] {
	var p atomic.Pointer[vocabulary]
	none := map[string]bool{}
	p.Store(&vocabulary{models: named(none, true, nil), deployments: named(none, true, nil), teams: named(none, true, nil), elsewhere: Backend{Provider: AzureOpenAI}})
	return &p
}

// codes returns the codes of errors that are told apart: those that the gateway
// writes, and those that are known of upstream.
func codes(own []string) map[string]bool {
	all := map[string]bool{"": true}
	for _, list := range [][]string{own, {
		"content_filter", "content_policy_violation", "invalid_request_error", "invalid_prompt", "invalid_image", "invalid_encrypted_content",
		"unsupported_parameter", "unsupported_value", "unknown_parameter", "string_above_max_length", "integer_above_max_value", "decimal_above_max_value",
		"array_above_max_length", "billing_hard_limit_reached", "model_error", "server_error", "OperationNotSupported", "BadRequest",
		"InternalServerError", "ServiceUnavailable", "RateLimitReached", "Timeout", "PermissionDenied", "AuthenticationTypeDisabled",
		"400", "401", "403", "404", "408", "409", "413", "415", "422", "424", "429", "500", "502", "503", "504",
	}} {
		for _, code := range list {
			all[code] = true
		}
	}
	return all
}

// reasons returns why attempts fail, as far as that is told apart.
func reasons() map[string]bool {
	all := map[string]bool{}
	for _, r := range []string{
		"", "unicode_500", "invalid_content_500", "invalid_content_400", "insufficient_quota", "unsupported_parameter", "credential",
		"timeout", "interrupted", "connect", "redirect", "stopped", "client_gone", "large_answer", "bad_answer", "content_type",
		"empty_stream", "cut_answer", "cut_stream", "protocol",
		"400", "401", "403", "404", "408", "409", "413", "415", "422", "424", "429", "500", "502", "503", "504", "529",
	} {
		all[r] = true
	}
	return all
}

// told returns a word that is among those that are told apart, or other.
func told(words map[string]bool, word string) string {
	if words[word] {
		return word
	}
	return other
}
