package config

// The codes of problems. They are stable: a code is never used for another
// fault. An E forbids the configuration, a W does not.
const (
	codeUnreadable   = "E001" // the file cannot be read, is too large, or is not plain UTF-8 text
	codeSyntax       = "E002" // not YAML, or YAML that is not taken here: anchors, aliases, tags, several documents
	codeDuplicate    = "E003" // a key stands twice in one mapping
	codeUnknownKey   = "E004" // a key that does not exist
	codeType         = "E005" // a value of the wrong type
	codeRange        = "E006" // a number, duration or size out of range
	codeChoice       = "E007" // a value that is not one of those allowed
	codeMalformed    = "E008" // a duration, size, address, name, date or hash that cannot be read
	codeMissing      = "E009" // a key that is required and absent, or empty
	codeReference    = "E010" // a name that nothing has
	codeCycle        = "E011" // policies that extend each other in a circle
	codeExpansion    = "E012" // a ${NAME} that is not set, or a ${file:/path} that cannot be read
	codeOpen         = "E013" // listening beyond loopback without a key
	codeTaken        = "E014" // a name, an alias, a key id or a deployment used twice
	codeSharedKey    = "E015" // one key given twice
	codeWeakKey      = "E016" // a key beyond loopback that is short or well known
	codeContradict   = "E017" // two values that cannot both hold
	codeEndpoint     = "E018" // an endpoint that must not be called
	codeUnwritable   = "E019" // a directory that no file can be made in
	codeLiteral      = "W001" // a secret written literally in the file
	codeNever        = "W002" // a rule that can never apply, or that nothing can pass
	codeUnusedModel  = "W003" // a model that no team may use
	codeUnusedPolicy = "W004" // a policy that no team uses
	codeExpired      = "W005" // a key that has expired
	codeWindow       = "W006" // a policy that trims where no window is known
	codeAlone        = "W007" // replicas that count alone
	codeNoPrice      = "W008" // a model without a price, used by a team that has a budget
	codeNoToken      = "W009" // an admin address beyond loopback without a token
	codeForgets      = "W010" // a ledger that keeps less than a budget's period
	codeNoUploads    = "W011" // no directory for uploads
)
