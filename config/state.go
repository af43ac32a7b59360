package config

import "time"

// Price is what tokens cost, in US dollars for a million of them: whole
// billionths of a dollar for each, so three decimals at most.
type Price struct {
	// Input is for the tokens of the prompt.
	Input float64 `yaml:"input" required:"true" min:"0" max:"1000000"`

	// CachedInput is for those of the prompt that were found in a cache.
	// Absent: as input.
	CachedInput float64 `yaml:"cached_input" min:"0" max:"1000000"`

	// Output is for the tokens of the answer.
	Output float64 `yaml:"output" required:"true" min:"0" max:"1000000"`

	// ReasoningOutput is for those of the answer that were spent on reasoning.
	// Absent: as output.
	ReasoningOutput float64 `yaml:"reasoning_output" min:"0" max:"1000000"`

	// AudioInput is for the tokens of the prompt that are of sound. Absent: as
	// input.
	AudioInput float64 `yaml:"audio_input" min:"0" max:"1000000"`

	// AudioCached is for those of sound that were found in a cache. Absent: as
	// cached_input, and as audio_input without that.
	AudioCached float64 `yaml:"audio_cached" min:"0" max:"1000000"`

	// AudioOutput is for the tokens of the answer that are of sound. Absent: as
	// output.
	AudioOutput float64 `yaml:"audio_output" min:"0" max:"1000000"`

	// ImageInput is for the tokens of the prompt that are of images, where
	// upstream tells these apart. Absent: as input.
	ImageInput float64 `yaml:"image_input" min:"0" max:"1000000"`

	// ImageCached is for those of images that were found in a cache. Absent: as
	// cached_input, and as image_input without that.
	ImageCached float64 `yaml:"image_cached" min:"0" max:"1000000"`

	// ImageOutput is for the tokens of the answer that are of images. Absent: as
	// output.
	ImageOutput float64 `yaml:"image_output" min:"0" max:"1000000"`

	// Minute is for a minute of sound, for models that are paid for by it:
	// dollars, and not for a million of anything.
	Minute float64 `yaml:"minute" min:"0" max:"1000"`
}

// Budget is how much money a team or a key may spend in each month or day. There
// is none where USD is 0, whatever the other fields hold.
type Budget struct {
	// USD is the amount, in US dollars.
	USD float64 `yaml:"usd" required:"true" above:"0" max:"1000000000"`

	// Period is the month or the day of the calendar, at whose end the budget
	// begins again.
	Period string `yaml:"period" default:"month" enum:"month day"`

	// Zone is the time zone of the calendar, such as Europe/Berlin.
	Zone string `yaml:"zone" default:"UTC"`

	// AlertAt are the shares of the budget at which an alert is raised, once in
	// each period: 80% or 0.8. []: none is. They are in order.
	AlertAt []Percent `yaml:"alert_at" default:"80% 100%"`

	// Mode is enforce, or shadow: decide, count and log, but let pass.
	Mode string `yaml:"mode" default:"enforce" enum:"enforce shadow"`
}

// State says where the limits are counted and where usage is written down.
type State struct {
	// Limits is where requests, tokens and money are counted.
	Limits LimitStore `yaml:"limits"`

	// Ledger is where every request is written down, without its content.
	Ledger Ledger `yaml:"ledger"`

	// Secrets sign the ids of what upstream keeps for a team, such as stored
	// responses: at least 16 bytes each, the same in all replicas. The first
	// signs, the second, a former or a coming one, is taken as well. Absent: ids
	// end with the process. Write them as ${NAME} or ${file:/path}.
	Secrets []Secret `yaml:"secrets"`
}

// LimitStore is where requests, tokens and money are counted.
type LimitStore struct {
	// Store is memory, where each replica counts alone, or redis, where all of
	// them count together.
	Store string `yaml:"store" default:"memory" enum:"memory redis"`

	// URL of the Redis, such as rediss://user:password@HOST:6379/0. Write it as
	// ${NAME} or ${file:/path} if it holds a password.
	URL Secret `yaml:"url"`

	// OnError says what becomes of requests while the Redis does not answer.
	// local: each replica admits its share of the limits; open: all pass;
	// closed: none does.
	OnError string `yaml:"on_error" default:"local" enum:"local open closed"`

	// Replicas is how many processes share the limits, so that the share of each
	// is known while the Redis does not answer.
	Replicas int `yaml:"replicas" default:"1" min:"1" max:"10000"`

	// Timeout is how long a request waits for the Redis before on_error holds. It
	// is what a Redis that hangs costs each of the first requests.
	Timeout time.Duration `yaml:"timeout" default:"25ms" min:"5ms" max:"10s"`

	// Slice lets a busy team take parts of its limits at once, and spend them
	// without asking the Redis each time.
	Slice Slice `yaml:"slice"`
}

// Slice lets a busy team take parts of its limits at once.
type Slice struct {
	// From is how many requests a second make a team a busy one. 0: none is.
	From int `yaml:"from" default:"200" min:"0" max:"1000000"`

	// Share is the largest part of a limit's burst that one slice may be.
	Share float64 `yaml:"share" default:"0.05" above:"0" max:"0.5"`

	// For is how long a slice may be spent. What is left of it then goes back.
	For time.Duration `yaml:"for" default:"200ms" min:"10ms" max:"10s"`
}

// Ledger is where every request is written down, without its content.
type Ledger struct {
	// Path of the file of a SQLite database, which is made where there is none.
	// With neither path nor url the ledger is in memory, and ends with the
	// process.
	Path string `yaml:"path"`

	// URL of a PostgreSQL database, such as postgres://user:password@HOST/NAME,
	// in place of path: for several replicas. Write it as ${NAME} or
	// ${file:/path} if it holds a password.
	URL Secret `yaml:"url"`

	// Retain is how long a request stays written down. Budgets are told from
	// here after a restart, so it is longer than a month by default.
	Retain time.Duration `yaml:"retain" default:"32d" min:"1h" max:"3650d"`

	// Durability is batch, where a kill may lose what was written in the last
	// 100 ms, or strict, where no answer ends before it is on disk.
	Durability string `yaml:"durability" default:"batch" enum:"batch strict"`

	// MaxRows is how many requests a ledger in memory holds. The oldest go first.
	MaxRows int `yaml:"max_rows" default:"100000" min:"1" max:"10000000"`
}

// Admin says who may use the endpoints of the admin address that change things
// or tell of usage. Health and metrics are free.
type Admin struct {
	// Token is what callers present in Authorization: Bearer. Empty: only callers
	// from this machine are let in. Write it as ${NAME} or ${file:/path}.
	Token Secret `yaml:"token"`

	// Dashboard serves the dashboard at / of the admin address, and what it shows
	// below /admin/v1.
	Dashboard bool `yaml:"dashboard" default:"true"`
}

// Alerts says where alerts of budgets go, beside the log and the metrics.
type Alerts struct {
	// Webhook is an https:// URL that alerts are posted to as JSON. Plain http is
	// for loopback addresses only. Write it as ${NAME} or ${file:/path} if it
	// holds a token.
	Webhook Secret `yaml:"webhook"`
}
