package docker

import "time"

// AuditEvery sets how often b asks the engine for the truth. It is called before b is used.
func (b *Backend) AuditEvery(d time.Duration) { b.audit = d }
