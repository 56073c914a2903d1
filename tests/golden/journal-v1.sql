PRAGMA application_id=1835428980;
BEGIN TRANSACTION;
CREATE TABLE events (
	session TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	time DOUBLE NOT NULL, 
	data TEXT NOT NULL, 
	PRIMARY KEY (session, seq), 
	FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);
INSERT INTO "events" VALUES('0123456789abcdef',1,'session.started',1.0,'{"type":"session.started","seq":1,"session":"0123456789abcdef","turn":null,"time":1.0,"parent":null,"agent":"fake","agent_version":"","agent_session":"conversation","model":"small","cwd":"","tools":[],"skills":[],"problems":[]}');
INSERT INTO "events" VALUES('0123456789abcdef',2,'message.accepted',1.0,'{"type":"message.accepted","seq":2,"session":"0123456789abcdef","turn":null,"time":1.0,"parent":null,"message":"m1","text":"do it","delivery":"steer"}');
INSERT INTO "events" VALUES('0123456789abcdef',3,'turn.started',1.0,'{"type":"turn.started","seq":3,"session":"0123456789abcdef","turn":1,"time":1.0,"parent":null,"origin":"message","messages":["m1"]}');
INSERT INTO "events" VALUES('0123456789abcdef',4,'message.started',1.0,'{"type":"message.started","seq":4,"session":"0123456789abcdef","turn":1,"time":1.0,"parent":null,"message":"m1"}');
INSERT INTO "events" VALUES('0123456789abcdef',5,'permission.requested',1.0,'{"type":"permission.requested","seq":5,"session":"0123456789abcdef","turn":1,"time":1.0,"parent":null,"request":"p1","call":"c1","name":"Bash","input":{"command":"ls"},"reason":"","deadline":null}');
INSERT INTO "events" VALUES('0123456789abcdef',6,'permission.resolved',1.0,'{"type":"permission.resolved","seq":6,"session":"0123456789abcdef","turn":1,"time":1.0,"parent":null,"request":"p1","decision":"deny","by":"user","reason":"no"}');
INSERT INTO "events" VALUES('0123456789abcdef',7,'text',1.0,'{"type":"text","seq":7,"session":"0123456789abcdef","turn":1,"time":1.0,"parent":null,"text":"quotes '' and \" and \\ and 😀 and \u0000"}');
INSERT INTO "events" VALUES('0123456789abcdef',8,'message.accepted',1.0,'{"type":"message.accepted","seq":8,"session":"0123456789abcdef","turn":null,"time":1.0,"parent":null,"message":"m2","text":"and this","delivery":"queue"}');
INSERT INTO "events" VALUES('0123456789abcdef',9,'message.changed',1.0,'{"type":"message.changed","seq":9,"session":"0123456789abcdef","turn":null,"time":1.0,"parent":null,"message":"m2","text":"and that","delivery":"queue","before":null}');
INSERT INTO "events" VALUES('0123456789abcdef',10,'question.requested',1.0,'{"type":"question.requested","seq":10,"session":"0123456789abcdef","turn":1,"time":1.0,"parent":null,"request":"q1","questions":[],"deadline":null}');
CREATE TABLE hosts (
	id TEXT NOT NULL, 
	machine TEXT NOT NULL, 
	boot TEXT NOT NULL, 
	space TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	born DOUBLE NOT NULL, 
	address TEXT NOT NULL, 
	beat DOUBLE NOT NULL, 
	seen DOUBLE NOT NULL, 
	started DOUBLE NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hosts" VALUES('host','machine','boot','space',1,0.5,'/a.sock',1.0,1.0,1.0);
CREATE TABLE leases (
	session TEXT NOT NULL, 
	host TEXT, 
	generation INTEGER NOT NULL, 
	PRIMARY KEY (session), 
	FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);
INSERT INTO "leases" VALUES('0123456789abcdef','host',1);
CREATE TABLE messages (
	session TEXT NOT NULL, 
	id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	delivery TEXT NOT NULL, 
	handed BOOLEAN NOT NULL, 
	turn INTEGER, 
	reason TEXT NOT NULL, 
	said BIGINT NOT NULL, 
	PRIMARY KEY (session, id), 
	FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);
INSERT INTO "messages" VALUES('0123456789abcdef','m1','started','steer',0,1,'',2);
INSERT INTO "messages" VALUES('0123456789abcdef','m2','accepted','queue',1,NULL,'',9);
CREATE TABLE meta (
	version INTEGER NOT NULL
);
INSERT INTO "meta" VALUES(1);
CREATE TABLE requests (
	session TEXT NOT NULL, 
	id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	"by" TEXT NOT NULL, 
	asked BIGINT NOT NULL, 
	PRIMARY KEY (session, id), 
	FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);
INSERT INTO "requests" VALUES('0123456789abcdef','p1','deny','user',5);
INSERT INTO "requests" VALUES('0123456789abcdef','q1','pending','',10);
CREATE TABLE sessions (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	agent TEXT NOT NULL, 
	cwd TEXT NOT NULL, 
	options TEXT NOT NULL, 
	parent TEXT NOT NULL, 
	created DOUBLE NOT NULL, 
	updated DOUBLE NOT NULL, 
	seq BIGINT NOT NULL, 
	status TEXT NOT NULL, 
	model TEXT NOT NULL, 
	permission_mode TEXT NOT NULL, 
	agent_session TEXT NOT NULL, 
	last TEXT NOT NULL, 
	pending TEXT NOT NULL, 
	turns INTEGER NOT NULL, 
	total_cost_usd DOUBLE NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "sessions" VALUES('0123456789abcdef','golden','fake','/','{"agent":"fake","model":null,"cwd":"/","name":null,"max_turns":3,"max_budget_usd":null,"timeout":null,"stall_timeout":null,"request_timeout":600.0,"on_usage_limit":null,"max_wait":21600.0,"allowed_tools":null,"disallowed_tools":null,"permission_mode":"default","plugins":[],"skills":null,"system_prompt":null,"add_dirs":[],"effort":null,"setting_sources":null,"resume":null,"spent_usd":0.0,"agent_path":null,"server_url":null,"env":["TOKEN"],"mcp_servers":{}}','orchestrator',1.0,2.0,10,'waiting','small','default','conversation','asks','["q1"]',1,0.25);
CREATE INDEX ix_leases_host ON leases (host);
COMMIT;
