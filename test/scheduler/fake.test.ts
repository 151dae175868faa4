import { FakeScheduler } from '../support/fake-scheduler.ts'
import { describeDriver } from './driver.suite.ts'

const scheduler = new FakeScheduler()
describeDriver({ label: 'fake', scheduler, run: (command) => scheduler.run(command), folder: '/none' })
