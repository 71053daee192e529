-- Health of a CurriculumJob for Argo CD. Agrees with kstatus: the operator must have seen the latest spec, Stalled is
-- failed, Reconciling is in progress, and then Ready decides.
local conditions = {}
for _, condition in ipairs(obj.status ~= nil and obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local function holds(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

local function health(status, type)
  local message = conditions[type] ~= nil and conditions[type].message or ""
  if holds("Degraded") then
    message = message .. ". " .. conditions.Degraded.message
  end
  return { status = status, message = message }
end

if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator to see the latest spec" }
end
if holds("Stalled") then
  return health("Degraded", "Stalled")
end
if holds("Suspended") then
  return health("Suspended", "Suspended")
end
if holds("Reconciling") or not holds("Ready") then
  return health("Progressing", "Ready")
end
return health("Healthy", "Ready")
