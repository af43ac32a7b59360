package usage

// Operation is what a request asks a model to do, in the words of metrics and
// logs.
type Operation string

// The operations. What has a name in the GenAI conventions of OpenTelemetry has
// that one.
const (
	Chat            Operation = "chat"
	Responses       Operation = "responses"
	Compaction      Operation = "compaction"
	TextCompletion  Operation = "text_completion"
	Embeddings      Operation = "embeddings"
	Moderation      Operation = "moderation"
	ImageGeneration Operation = "image_generation"
	ImageEdit       Operation = "image_edit"
	Speech          Operation = "speech"
	Transcription   Operation = "transcription"
	Translation     Operation = "translation"
	Realtime        Operation = "realtime"
)

// GenAI returns the operation's gen_ai.operation.name. By either of its APIs a
// conversation is a chat.
func (o Operation) GenAI() string {
	if o == Responses {
		return string(Chat)
	}
	return string(o)
}

// API returns the operation's openai.api.type, "" where that has no name for it.
func (o Operation) API() string {
	switch o {
	case Chat:
		return "chat_completions"
	case Responses:
		return "responses"
	default:
		return ""
	}
}

// Limit names a limit, by its key in the configuration.
type Limit string

// The limits.
const (
	RequestLimit     Limit = "rpm"
	TokenLimit       Limit = "tpm"
	ConcurrencyLimit Limit = "concurrency"
	BudgetLimit      Limit = "budget"
)

// Rule is one of the rules of a policy.
type Rule uint8

// The rules of a policy.
const (
	SpecialTokens Rule = iota
	MaxTurns
	ContextWindow
	MaxInput
	MaxOutput
	DefaultOutput
	rules
)

// String returns the rule's key in the configuration.
func (r Rule) String() string {
	return [rules]string{"special_tokens", "max_turns", "context_window", "max_input_tokens", "max_output_tokens", "default_output_tokens"}[r]
}

// Action is what a rule made of a request.
type Action uint8

// The actions. The zero value is that of a rule that was not asked.
const (
	Unasked Action = iota
	Pass
	Reject
	Escape
	Trim
	Lower
	actions
)

// String returns the action in the words of metrics and spans.
func (a Action) String() string {
	return [actions]string{"", "pass", "reject", "escape", "trim", "lower"}[a]
}

// May reports whether the rule ever comes to such an action.
func (r Rule) May(a Action) bool {
	switch a {
	case Pass:
		return true
	case Reject:
		return r != DefaultOutput
	case Escape:
		return r == SpecialTokens
	case Trim:
		return r == MaxTurns || r == ContextWindow || r == MaxInput
	case Lower:
		return r == MaxOutput || r == DefaultOutput
	default:
		return false
	}
}

// Verdict is what each rule of a policy made of a request, or would have where the
// policy is in shadow mode.
type Verdict [rules]Action

// Filtering is what a content filter of upstream's found. What it found nothing
// in is not noted.
type Filtering struct {
	Source   string // prompt or completion
	Category string // such as hate, or jailbreak; "other" one that is not known
	Severity string // low, medium or high, or detected where there are no degrees
	Filtered bool   // it was withheld for it
}

// Params are what a request asks of the model, beside its text.
type Params struct {
	Temperature, TopP, FrequencyPenalty, PresencePenalty Number

	Seed      int64
	HasSeed   bool
	MaxTokens int64 // the client's bound on each answer; 0 none
	Choices   int64 // answers that are asked for
	Stops     int   // how many stop sequences; what they are is content

	// What is asked for in words, "other" for a word that is not known, "" where
	// nothing is.
	Output      string // text, json or image
	Reasoning   string // how much, such as low
	ServiceTier string
}

// Number is a number that a request may hold.
type Number struct {
	Value float64
	Set   bool
}
