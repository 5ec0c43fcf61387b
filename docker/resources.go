package docker

import (
	"math"
	"os"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/blkiodev"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// resources translates limits. Those under deploy.resources win, as with Compose.
func resources(c types.ServiceConfig) container.Resources {
	r := container.Resources{
		CgroupParent:       c.CgroupParent,
		CPUCount:           c.CPUCount,
		CPUPercent:         int64(c.CPUPercent),
		CPUPeriod:          c.CPUPeriod,
		CPUQuota:           c.CPUQuota,
		CPURealtimePeriod:  c.CPURTPeriod,
		CPURealtimeRuntime: c.CPURTRuntime,
		CPUShares:          c.CPUShares,
		CpusetCpus:         c.CPUSet,
		NanoCPUs:           nanoCPUs(c.CPUS),
		DeviceCgroupRules:  c.DeviceCgroupRules,
		DeviceRequests:     deviceRequests(c.Gpus, "gpu"),
		Memory:             int64(c.MemLimit),
		MemoryReservation:  int64(c.MemReservation),
		MemorySwap:         int64(c.MemSwapLimit),
	}
	if c.MemSwappiness != 0 {
		n := int64(c.MemSwappiness)
		r.MemorySwappiness = &n
	}
	if c.OomKillDisable {
		r.OomKillDisable = &c.OomKillDisable
	}
	if c.PidsLimit != 0 {
		r.PidsLimit = &c.PidsLimit
	}
	for _, d := range c.Devices {
		permissions := d.Permissions
		if permissions == "" {
			permissions = "rwm"
		}
		r.Devices = append(r.Devices, container.DeviceMapping{
			PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: permissions,
		})
	}
	r.Ulimits = ulimits(c.Ulimits)
	setBlkio(&r, c.BlkioConfig)
	if c.Deploy != nil {
		setDeployed(&r, c.Deploy.Resources)
	}
	return r
}

func setBlkio(r *container.Resources, c *types.BlkioConfig) {
	if c == nil {
		return
	}
	r.BlkioWeight = c.Weight
	for _, w := range c.WeightDevice {
		r.BlkioWeightDevice = append(r.BlkioWeightDevice, &blkiodev.WeightDevice{Path: w.Path, Weight: w.Weight})
	}
	r.BlkioDeviceReadBps = throttles(c.DeviceReadBps)
	r.BlkioDeviceReadIOps = throttles(c.DeviceReadIOps)
	r.BlkioDeviceWriteBps = throttles(c.DeviceWriteBps)
	r.BlkioDeviceWriteIOps = throttles(c.DeviceWriteIOps)
}

func setDeployed(r *container.Resources, d types.Resources) {
	if l := d.Limits; l != nil {
		if l.NanoCPUs != 0 {
			r.NanoCPUs = nanoCPUs(float32(l.NanoCPUs))
		}
		if l.MemoryBytes != 0 {
			r.Memory = int64(l.MemoryBytes)
		}
		if l.Pids != 0 {
			r.PidsLimit = &l.Pids
		}
	}
	if l := d.Reservations; l != nil {
		if l.MemoryBytes != 0 {
			r.MemoryReservation = int64(l.MemoryBytes)
		}
		r.DeviceRequests = append(r.DeviceRequests, deviceRequests(l.Devices)...)
	}
}

// nanoCPUs rounds to a millionth of a CPU, since 0.1 is not exact in a float32.
func nanoCPUs(cpus float32) int64 { return int64(math.Round(float64(cpus)*1e6)) * 1000 }

func ulimits(limits map[string]*types.UlimitsConfig) []*container.Ulimit {
	var result []*container.Ulimit
	for name, l := range limits {
		soft, hard := l.Soft, l.Hard
		if l.Single != 0 {
			soft, hard = l.Single, l.Single
		}
		result = append(result, &container.Ulimit{Name: name, Soft: int64(soft), Hard: int64(hard)})
	}
	return result
}

// deviceRequests translates requests for devices; more are capabilities that each needs.
func deviceRequests(requests []types.DeviceRequest, more ...string) []container.DeviceRequest {
	var result []container.DeviceRequest
	for _, d := range requests {
		count := int(d.Count)
		if count == 0 && len(d.IDs) == 0 {
			count = -1 // all of them
		}
		result = append(result, container.DeviceRequest{
			Driver: d.Driver, Count: count, DeviceIDs: d.IDs,
			Capabilities: [][]string{slices.Concat(d.Capabilities, more)},
			Options:      d.Options,
		})
	}
	return result
}

func throttles(devices []types.ThrottleDevice) []*blkiodev.ThrottleDevice {
	var result []*blkiodev.ThrottleDevice
	for _, d := range devices {
		result = append(result, &blkiodev.ThrottleDevice{Path: d.Path, Rate: uint64(d.Rate)})
	}
	return result
}

func tmpfsOptions(t types.ServiceVolumeTmpfs) *mount.TmpfsOptions {
	return &mount.TmpfsOptions{SizeBytes: int64(t.Size), Mode: os.FileMode(t.Mode)}
}
